BEGIN TRANSACTION;
CREATE TABLE ack (
	number INTEGER NOT NULL, 
	station VARCHAR(64) NOT NULL, 
	at VARCHAR(32) NOT NULL, 
	revision BIGINT, 
	in_force BIGINT NOT NULL, 
	result VARCHAR(16), 
	error TEXT, 
	PRIMARY KEY (number)
);
INSERT INTO "ack" VALUES(1,'cam1','2026-02-01T09:00:00.000Z',1,1,'accepted',NULL);
INSERT INTO "ack" VALUES(2,'cam1','2026-02-01T09:00:00.000Z',2,1,'rejected','{"type":"BlockedRole","message":"record is blocked","problems":[{"type":"BlockedRole","role":"record","instance":null,"path":null,"message":"record is blocked here"}]}');
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE conference (
	number INTEGER NOT NULL, 
	at VARCHAR(32) NOT NULL, 
	"by" VARCHAR(64) NOT NULL, 
	name TEXT NOT NULL, 
	message TEXT, 
	text TEXT NOT NULL, 
	PRIMARY KEY (number)
);
INSERT INTO "conference" VALUES(1,'2026-02-01T09:01:00.000Z','ann','democon.toml','first','[conference]
id = "democon-26"
timezone = "Europe/Brussels"
[rooms.hall1]
title = "Hall 1"
hours = ["09:00-19:00"]
[profiles.rec.roles.record.main]
source = {type = "test"}
[stations.hall1-cam]
id = "cam1"
room = "hall1"
seat = "cam"
where = "tripod"
address = "192.0.2.7"
profiles = ["rec"]
roles.record.main.segment_seconds = 60
');
INSERT INTO "conference" VALUES(2,'2026-02-01T09:02:00.000Z','ann','democon.toml',NULL,'[conference]
id = "democon-26"
timezone = "Europe/Brussels"
[rooms.hall1]
title = "Hall 1"
hours = ["09:00-19:00"]
[profiles.rec.roles.record.main]
source = {type = "test"}
[stations.hall1-cam]
id = "cam1"
room = "hall1"
seat = "cam"
where = "tripod"
address = "192.0.2.7"
profiles = ["rec"]
roles.record.main.segment_seconds = 60
');
CREATE TABLE presence (
	number INTEGER NOT NULL, 
	station VARCHAR(64) NOT NULL, 
	at VARCHAR(32) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	boot VARCHAR(64), 
	PRIMARY KEY (number)
);
INSERT INTO "presence" VALUES(1,'cam1','2026-02-01T09:00:00.000Z','online','A');
INSERT INTO "presence" VALUES(2,'cam1','2026-02-01T09:00:00.000Z','lost',NULL);
CREATE TABLE revision (
	station VARCHAR(64) NOT NULL, 
	revision BIGINT NOT NULL, 
	at VARCHAR(32) NOT NULL, 
	"by" VARCHAR(64) NOT NULL, 
	message TEXT, 
	conference INTEGER, 
	config TEXT NOT NULL, 
	PRIMARY KEY (station, revision), 
	FOREIGN KEY(conference) REFERENCES conference (number)
);
INSERT INTO "revision" VALUES('cam1',1,'2026-02-01T09:01:00.000Z','ann',NULL,1,'{"revision":1,"at":"2026-02-01T09:01:00.000Z","by":"ann","roles":{"record":{"main":{"source":{"type":"test"},"segment_seconds":180}}},"name":"hall1-cam","room":"hall1"}');
INSERT INTO "revision" VALUES('cam1',2,'2026-02-01T09:02:00.000Z','ann',NULL,2,'{"revision":2,"at":"2026-02-01T09:02:00.000Z","by":"ann","roles":{"record":{"main":{"source":{"type":"test"},"segment_seconds":60}}},"name":"hall1-cam","room":"hall1"}');
INSERT INTO "revision" VALUES('cam2',13,'2026-02-01T09:00:00.000Z','adopted','runs as revision 12',NULL,'{"revision":13,"at":"2026-02-01T09:00:00.000Z","by":"adopted","roles":{"record":{"main":{"source":{"type":"test"}}}}}');
CREATE TABLE station (
	station VARCHAR(64) NOT NULL, 
	wanted BIGINT, 
	name VARCHAR(64), 
	room VARCHAR(64), 
	seat VARCHAR(64), 
	"where" TEXT, 
	address TEXT, 
	retired BOOLEAN NOT NULL, 
	PRIMARY KEY (station)
);
INSERT INTO "station" VALUES('cam1',2,'hall1-cam','hall1','cam','tripod','192.0.2.7',0);
INSERT INTO "station" VALUES('cam2',13,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "station" VALUES('slides1',NULL,'hall1-slides','hall1','slides','tripod','192.0.2.7',0);
CREATE INDEX ack_station ON ack (station, number);
CREATE INDEX ack_at ON ack (at);
CREATE INDEX presence_station ON presence (station, number);
CREATE INDEX presence_at ON presence (at);
COMMIT;
