"""What boards are made of: queries and panels as every board has them, and their places."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from grafana_foundation_sdk.builders import bargauge, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.builders import prometheus as builders
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.words import GREEN, GREY, Word, mappings, steps

SOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
TO_ROOM: Final = ("Open the room", "/d/fleet-room?var-room={room}&${{__url_time_range}}")
TO_STATION: Final = (
    "Open the station",
    "/d/fleet-station?var-station={station}&${{__url_time_range}}",
)

Panel = stat.Panel | table.Panel | timeseries.Panel | statetimeline.Panel | bargauge.Panel
P = TypeVar("P", stat.Panel, table.Panel, timeseries.Panel, statetimeline.Panel, bargauge.Panel)
Queries = Mapping[str, str]
"""Legend (`{{name}}`) or, in a table, the name of the column -> PromQL."""
Link = tuple[str, str]
NAME: Final = common.BigValueTextMode.NAME
BOTH: Final = common.BigValueTextMode.VALUE_AND_NAME


def named(expression: str) -> str:
    """The series with the station's name: people know no other."""
    return f"({expression}) * on (station) group_left (name) fleet_station_info"


def _query(index: int, expression: str) -> builders.Dataquery:
    return builders.Dataquery().ref_id(chr(ord("A") + index)).expr(expression).datasource(SOURCE)


def _begin(panel: P, title: str, description: str, unit: str | None, link: Link | None) -> P:
    panel.title(title).description(description).datasource(SOURCE)
    if unit is not None:
        panel.unit(unit)
    if link is not None:
        url = link[1].format(room="${__field.labels.room}", station="${__field.labels.station}")
        panel.data_links([boards.DashboardLink(link[0]).url(url)])
    return panel


def _last() -> common_builders.ReduceDataOptions:
    return common_builders.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("")


def tiles(
    title: str,
    description: str,
    queries: Queries,
    *,
    words: Sequence[Word] = (),
    thresholds: Sequence[models.Threshold] = (),
    unit: str | None = None,
    link: Link | None = None,
    show: common.BigValueTextMode = common.BigValueTextMode.AUTO,
    nothing: str = "unknown",
    decimals: int | None = None,
) -> stat.Panel:
    """A coloured tile per series, in the order of the query; only of what is so now."""
    panel = _begin(stat.Panel(), title, description, unit, link)
    for index, (legend, expression) in enumerate(queries.items()):
        panel.with_target(_query(index, expression).instant().legend_format(legend))
    panel.reduce_options(_last()).graph_mode(common.BigValueGraphMode.NONE)
    panel.color_mode(common.BigValueColorMode.BACKGROUND_SOLID)
    panel.text_mode(show)
    panel.justify_mode(common.BigValueJustifyMode.CENTER)
    _colours(panel, words, thresholds or steps(GREY if words else GREEN), nothing)
    if decimals is not None:
        panel.decimals(decimals)
    return panel.no_value(nothing)


def _colours(
    panel: P,
    words: Sequence[Word],
    thresholds: Sequence[models.Threshold],
    nothing: str = "unknown",
) -> None:
    panel.thresholds(
        boards.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(list(thresholds))
    )
    panel.color_scheme(boards.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
    # Without a mapping, no value has the colour of the lowest.
    panel.mappings(mappings(words, nothing))


def timeline(
    title: str,
    description: str,
    queries: Queries,
    words: Sequence[Word],
    link: Link | None = TO_STATION,
) -> statetimeline.Panel:
    """A row per series, coloured by what was so when."""
    panel = _begin(statetimeline.Panel(), title, description, None, link)
    for index, (legend, expression) in enumerate(queries.items()):
        panel.with_target(_query(index, expression).range().legend_format(legend))
    _colours(panel, words, steps(GREY))
    panel.merge_values(True).show_value(common.VisibilityMode.AUTO).row_height(0.85)
    panel.fill_opacity(80).line_width(0)
    panel.legend(
        common_builders.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(False)
    )
    return panel


def graph(
    title: str,
    description: str,
    queries: Queries,
    unit: str,
    *,
    bands: Sequence[models.Threshold] = (),
    low: float | None = None,
    high: float | None = None,
    link: Link | None = TO_STATION,
) -> timeseries.Panel:
    """Lines over time; `bands`: coloured areas behind them. A gap is a gap."""
    panel = _begin(timeseries.Panel(), title, description, unit, link)
    for index, (legend, expression) in enumerate(queries.items()):
        panel.with_target(_query(index, expression).range().legend_format(legend))
    panel.draw_style(common.GraphDrawStyle.LINE).line_width(1).fill_opacity(0)
    panel.show_points(common.VisibilityMode.NEVER).span_nulls(False)
    panel.legend(
        common_builders.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    panel.tooltip(
        common_builders.VizTooltipOptions()
        .mode(common.TooltipDisplayMode.MULTI)
        .sort(common.SortOrder.DESCENDING)
    )
    panel.color_scheme(boards.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
    if bands:
        config = boards.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE)
        panel.thresholds(config.steps(list(bands)))
        style = common_builders.GraphThresholdsStyleConfig()
        panel.thresholds_style(style.mode(common.GraphThresholdsStyleMode.AREA))
    if low is not None:
        panel.axis_soft_min(low)
    if high is not None:
        panel.axis_soft_max(high)
    return panel


def bars(
    title: str,
    description: str,
    queries: Queries,
    unit: str,
    thresholds: Sequence[models.Threshold],
    low: float,
    high: float,
) -> bargauge.Panel:
    """A bar per series, as meters have it."""
    panel = _begin(bargauge.Panel(), title, description, unit, TO_STATION)
    for index, (legend, expression) in enumerate(queries.items()):
        panel.with_target(_query(index, expression).instant().legend_format(legend))
    panel.reduce_options(_last()).display_mode(common.BarGaugeDisplayMode.BASIC)
    panel.orientation(common.VizOrientation.HORIZONTAL).min(low).max(high)
    _colours(panel, (), thresholds)
    return panel.no_value("unknown")


class Column:
    """How a column of a table looks."""

    def __init__(
        self,
        *,
        words: Sequence[Word] = (),
        thresholds: Sequence[models.Threshold] = (),
        unit: str | None = None,
        link: Link | None = None,
        hidden: bool = False,
        width: int | None = None,
    ) -> None:
        self.words, self.thresholds, self.unit, self.link = words, thresholds, unit, link
        self.hidden = hidden  # links may still need it
        self.width = width  # px; Grafana divides the rest

    def properties(self) -> list[models.DynamicConfigValue]:
        """As Grafana has it."""
        made: dict[str, object] = {}
        if self.words:
            made["mappings"] = mappings(self.words)
        if self.thresholds:
            made["mappings"] = mappings((), "-")
            config = boards.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE)
            made["thresholds"] = config.steps(list(self.thresholds)).build()
        if self.words or self.thresholds:
            made["custom.cellOptions"] = common.TableColoredBackgroundCellOptions(
                mode=common.TableCellBackgroundDisplayMode.BASIC
            )
        if self.width is not None:
            made["custom.width"] = self.width
        if self.hidden:
            made["custom.hidden"] = True
        if self.unit is not None:
            made["unit"] = self.unit
        if self.link is not None:
            url = self.link[1].format(
                room="${__data.fields.room}", station="${__data.fields.station}"
            )
            made["links"] = [boards.DashboardLink(self.link[0]).url(url).build()]
        return [models.DynamicConfigValue(id_val=id_, value=value) for id_, value in made.items()]


def rows(
    title: str,
    description: str,
    queries: Queries,
    columns: Mapping[str, Column],
    *,
    hide: Sequence[str] = (),
    order: Sequence[str] = (),
    sort: tuple[str, bool] | None = None,
    nothing: str = "nothing",
) -> table.Panel:
    """A table of what is so now: labels are columns, and so is the value of each query.

    `order`: labels that come first; `sort`: a column, and whether the largest comes first.
    """
    panel = _begin(table.Panel(), title, description, None, None)
    panel.align(common.FieldTextAlignment.AUTO).inspect(False)
    several = len(queries) > 1
    rename: dict[str, object] = {}
    for index, (column, expression) in enumerate(queries.items()):
        query = _query(index, expression).instant().format(PromQueryFormat.TABLE)
        panel.with_target(query)
        value = f"Value #{chr(ord('A') + index)}" if several else "Value"
        if column in hide:
            hide = [*hide, value]
        else:
            rename[value] = column
    if several:
        panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    gone = dict.fromkeys(["Time", "__name__", "job", "instance", *hide], True)
    options: dict[str, object] = {"excludeByName": gone, "renameByName": rename}
    if order:
        options["indexByName"] = {label: index for index, label in enumerate(order)}
    panel.with_transformation(models.DataTransformerConfig(id_val="organize", options=options))
    for column, looks in columns.items():
        panel.override_by_name(column, looks.properties())
    if sort is not None:
        by = common_builders.TableSortByFieldState().display_name(sort[0]).desc(sort[1])
        panel.sort_by([by])
    return panel.no_value(nothing)


def room_variable(*, everything: bool) -> boards.QueryVariable:
    """Which room; `everything`: all of them can be chosen."""
    variable = boards.QueryVariable("room").label("Room").datasource(SOURCE)
    variable.description("Rooms as the conference file names them.")
    variable.query('label_values(fleet_station_info{room!=""}, room)')
    variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    variable.sort(models.VariableSort.NATURAL_ASC)
    if everything:
        variable.include_all(True).all_value(".*")
        all_rooms = models.VariableOption(selected=True, text="All", value="$__all")
        variable.current(all_rooms)
    return variable


def station_variable() -> boards.QueryVariable:
    """Which station: shown by name, used by id."""
    variable = boards.QueryVariable("station").label("Station").datasource(SOURCE)
    variable.description("Stations of the room, by name.")
    variable.query('query_result(fleet_station_info{room=~"$room"})')
    variable.regex('/name="(?<text>[^"]+)".*station="(?<value>[^"]+)"/')
    variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    return variable.sort(models.VariableSort.NATURAL_ASC)


def board(
    uid: str,
    title: str,
    description: str,
    variables: Sequence[boards.QueryVariable],
    lines: Sequence[tuple[int, Sequence[tuple[int, Panel]]]],
    hours: int = 1,
) -> models.Dashboard:
    """A board of `lines` (height, (width, panel) …) on Grafana's grid of 24 columns."""
    made = boards.Dashboard(title).uid(uid).description(description).tags(["fleet"])
    made.readonly().refresh("10s").time(f"now-{hours}h", "now").timezone("browser")
    made.tooltip(models.DashboardCursorSync.CROSSHAIR)
    source = boards.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    made.with_variable(source.description("Where the figures are kept."))
    for variable in variables:
        made.with_variable(variable)
    for text, target in (("Rooms", "fleet-rooms"), ("Fleet", "fleet-fleet")):
        if target != uid:
            link = boards.DashboardLink(text).type(models.DashboardLinkType.LINK)
            made.link(link.url(f"/d/{target}").keep_time(True).icon("apps"))
    number = y = 0
    for height, panels in lines:
        x = 0
        for width, panel in panels:
            number += 1
            panel.id(number).grid_pos(models.GridPos(h=height, w=width, x=x, y=y))
            made.with_panel(panel)
            x += width
        y += height
    return made.build()
