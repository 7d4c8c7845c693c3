# The manager alone; agents run on the boxes themselves, where the cameras are.

FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml constraints-run.txt README.md LICENSE ./
# The releases that were tested, by their hashes; the project has none, so it comes after them.
RUN pip download --no-cache-dir --require-hashes --only-binary=:all: -r constraints-run.txt -d /wheels
COPY manager.py ./
COPY fleet fleet
RUN python -m venv /opt/fleet \
    && /opt/fleet/bin/pip install --no-cache-dir --no-index --find-links=/wheels .

FROM python:3.13-slim
COPY --from=build /opt/fleet /opt/fleet
RUN useradd --system --uid 10001 --home-dir /var/lib/fleet fleet \
    && install -d -o fleet -g fleet -m 0700 /var/lib/fleet
ENV PATH=/opt/fleet/bin:$PATH PYTHONUNBUFFERED=1
USER fleet
VOLUME /var/lib/fleet
EXPOSE 9700
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9700/healthz', timeout=4)"]
ENTRYPOINT ["fleet-manager"]
CMD ["run", "--broker=mqtt://broker:1883", "--state-dir=/var/lib/fleet", "--http=0.0.0.0:9700"]
