// A board's panels, drawn by Grafana's components from the board's JSON and Prometheus' answers.
//
// What the components do not do, a Grafana server's frontend does around them; it is in here, as
// little of it as these boards need: answers -> data frames, transformations, the registry of field
// options, variables, the grid. State timelines are not among the components: `Timeline` draws them.

import '@fontsource/inter/400.css';
import '@fontsource/inter/500.css';
import { useState } from 'react';
import { createRoot } from 'react-dom/client';
import {
  applyFieldOverrides, createTheme, dateTime, FieldType, formattedValueToString, getFieldDisplayName,
  getDisplayValueAlignmentFactors, getFieldDisplayValues, identityOverrideProcessor,
  standardFieldConfigEditorRegistry, standardTransformers, standardTransformersRegistry,
  thresholdsOverrideProcessor, transformDataFrame, valueMappingsOverrideProcessor,
} from '@grafana/data';
import {
  BarGauge, BigValue, GlobalStyles, PanelChrome, Table, ThemeContext, TimeSeries, UPlotChart,
  UPlotConfigBuilder, VizRepeater, measureText,
} from '@grafana/ui';

const theme = createTheme({ colors: { mode: 'dark' } });
const [COLUMNS, ROW, GAP] = [24, 30, 8]; // Grafana's grid, px

// -- options of fields: what a panel may say of its fields, and how the values are read ----------
const PROCESSORS = { thresholds: withBase, mappings: valueMappingsOverrideProcessor };
const OPTIONS = ['unit', 'decimals', 'min', 'max', 'noValue', 'color', 'links', 'displayName', ...Object.keys(PROCESSORS)];

// JSON has no infinity: the lowest threshold has no value there.
function withBase(thresholds, ...more) {
  const steps = thresholds?.steps.map((step) => ({ ...step, value: step.value ?? -Infinity }));
  return thresholdsOverrideProcessor(thresholds && { ...thresholds, steps }, ...more);
}

function registerOptions(board) {
  const said = board.panels.flatMap(({ fieldConfig: { defaults, overrides } }) => [
    ...Object.keys(defaults.custom ?? {}).map((key) => `custom.${key}`),
    ...(overrides ?? []).flatMap((one) => one.properties.map((property) => property.id)),
  ]);
  const ids = new Set([...OPTIONS, ...said, ...Object.keys(LINES).map((key) => `custom.${key}`)]);
  standardFieldConfigEditorRegistry.setInit(() => [...ids].map((id) => ({
    id,
    path: id.replace(/^custom\./, ''),
    isCustom: id.startsWith('custom.'),
    process: PROCESSORS[id] ?? identityOverrideProcessor,
    shouldApply: () => true,
    settings: {},
  })));
  standardTransformersRegistry.setInit(() =>
    [standardTransformers.mergeTransformer, standardTransformers.organizeFieldsTransformer].map(
      (transformation) => ({ id: transformation.id, name: transformation.name, transformation })));
}

// What Grafana's graph has where a board is silent.
const LINES = { axisPlacement: 'auto', axisGridShow: true, lineInterpolation: 'linear', pointSize: 5 };

// -- Prometheus' answers -> data frames -----------------------------------------------------------
const number = (text) => ({ NaN: NaN, '+Inf': Infinity, '-Inf': -Infinity }[text] ?? Number(text));
const field = (name, type, values, more = {}) => ({ name, type, values, config: {}, ...more });

function series(target, answer, range) {
  return answer.map(({ metric, values, value }) => {
    const legend = (target.legendFormat ?? '').replace(/\{\{(\w+)\}\}/g, (_, label) => metric[label] ?? '');
    const at = new Map((values ?? [value]).map(([time, text]) => [Math.round(time - range.from), number(text)]));
    const seconds = values ? [...Array(Math.round(range.to - range.from) + 1).keys()] : [...at.keys()];
    return {
      refId: target.refId,
      fields: [
        field('Time', FieldType.time, seconds.map((second) => (range.from + second) * 1000)),
        field('Value', FieldType.number, seconds.map((second) => at.get(second) ?? null), {
          labels: metric,
          config: legend ? { displayNameFromDS: legend } : {},
        }),
      ],
    };
  });
}

function rows(target, answer, several) {
  const labels = [...new Set(answer.flatMap(({ metric }) => Object.keys(metric)))].sort();
  if (!answer.length) return { refId: target.refId, fields: [] };
  return {
    refId: target.refId,
    fields: [
      field('Time', FieldType.time, answer.map(({ value }) => value[0] * 1000)),
      ...labels.map((label) => field(label, FieldType.string, answer.map(({ metric }) => metric[label] ?? ''))),
      field(several ? `Value #${target.refId}` : 'Value', FieldType.number, answer.map(({ value }) => number(value[1]))),
    ],
  };
}

function frames(panel, answers, range) {
  return panel.targets
    .flatMap((target) => target.format === 'table'
      ? [rows(target, answers[target.refId], panel.targets.length > 1)]
      : series(target, answers[target.refId], range))
    .map((frame) => ({ ...frame, length: frame.fields[0]?.values.length ?? 0 }));
}

const transformed = (panel, data) => new Promise((resolve, reject) =>
  transformDataFrame(panel.transformations ?? [], data).subscribe({ next: resolve, error: reject }));

// -- the panels -----------------------------------------------------------------------------------
function values(panel, data, replaceVariables) {
  return getFieldDisplayValues({
    fieldConfig: panel.fieldConfig, reduceOptions: panel.options.reduceOptions, replaceVariables, theme, data,
    timeZone: 'browser',
  });
}

function Stat({ panel, data, replace, width, height }) {
  const { options } = panel;
  return (
    <VizRepeater
      getValues={() => values(panel, data, replace)}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={({ value, width, height, alignmentFactors, count }) => (
        <BigValue
          value={value.display} count={count} width={width} height={height} theme={theme}
          alignmentFactors={alignmentFactors} colorMode={options.colorMode} graphMode={options.graphMode}
          justifyMode={options.justifyMode} textMode={options.textMode} wideLayout={options.wideLayout}
        />
      )}
      width={width} height={height} source={data} itemSpacing={3} autoGrid orientation={options.orientation}
    />
  );
}

function Bars({ panel, data, replace, width, height }) {
  const { options } = panel;
  return (
    <VizRepeater
      getValues={() => values(panel, data, replace)}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={({ value, width, height, alignmentFactors }) => (
        <BarGauge
          value={value.display} width={width} height={height} theme={theme} field={value.field}
          display={value.view?.getFieldDisplayProcessor(value.colIndex)} alignmentFactors={alignmentFactors}
          orientation={options.orientation} displayMode={options.displayMode} itemSpacing={10} lcdCellWidth={12}
          showUnfilled={options.showUnfilled} valueDisplayMode={options.valueMode}
          namePlacement={options.namePlacement}
        />
      )}
      width={width} height={height} source={data} itemSpacing={10} orientation={options.orientation}
      minVizHeight={options.minVizHeight} maxVizHeight={options.maxVizHeight} minVizWidth={options.minVizWidth}
    />
  );
}

function Rows({ panel, data, width, height }) {
  const { sortBy, cellHeight, showTypeIcons } = panel.options ?? {};
  return (
    <Table
      data={data[0] ?? { fields: [], length: 0 }} width={width} height={height} initialSortBy={sortBy}
      cellHeight={cellHeight} showTypeIcons={showTypeIcons ?? false} fieldConfig={panel.fieldConfig}
    />
  );
}

function Graph({ panel, data, range, width, height }) {
  return (
    <TimeSeries
      frames={data} structureRev={1} timeRange={range} timeZone="browser" width={width} height={height}
      legend={panel.options.legend} options={panel.options}
    />
  );
}

// One row a series, a bar as long as it had the same value. Words and colours are the field's own.
function Timeline({ data, range, width, height }) {
  const [config] = useState(() => {
    const lines = data.map(({ fields: [, value] }) => value);
    const builder = new UPlotConfigBuilder('browser');
    const names = data.map((frame) => getFieldDisplayName(frame.fields[1], frame, data));
    const common = { theme, grid: { show: false }, ticks: { show: false } };
    builder.addScale({
      scaleKey: 'x', isTime: true, orientation: 0, direction: 1,
      range: () => [range.from.valueOf(), range.to.valueOf()],
    });
    builder.addScale({ scaleKey: 'y', orientation: 1, direction: 1, range: () => [-0.5, lines.length - 0.5] });
    builder.addAxis({ scaleKey: 'x', isTime: true, placement: 'bottom', timeZone: 'browser', ...common });
    builder.addAxis({
      scaleKey: 'y', placement: 'left', ...common,
      splits: () => lines.map((_, row) => row),
      values: () => [...names].reverse(),
      size: 16 + Math.max(...names.map((name) => measureText(name, 12).width)),
    });
    builder.addSeries({ scaleKey: 'y', theme, drawStyle: 'line', lineColor: 'transparent', pathBuilder: () => null });
    builder.addHook('draw', (plot) => {
      const { ctx } = plot;
      const pixel = window.devicePixelRatio;
      const bar = (plot.bbox.height / lines.length) * 0.85;
      ctx.save();
      ctx.font = `500 ${12 * pixel}px Inter`;
      [ctx.textAlign, ctx.textBaseline] = ['left', 'middle'];
      lines.forEach((line, row) => {
        const times = plot.data[0];
        const middle = plot.valToPos(lines.length - 1 - row, 'y', true);
        for (let from = 0, to; from < times.length; from = to) {
          for (to = from + 1; to < times.length && line.values[to] === line.values[from]; to++);
          if (line.values[from] === null) continue;
          const shown = line.display(line.values[from]);
          const left = plot.valToPos(times[from], 'x', true);
          const length = plot.valToPos(times[Math.min(to, times.length - 1)], 'x', true) - left;
          ctx.globalAlpha = (line.config.custom.fillOpacity ?? 70) / 100;
          ctx.fillStyle = shown.color;
          ctx.fillRect(left, middle - bar / 2, Math.max(length, 1), bar);
          ctx.globalAlpha = 1;
          ctx.fillStyle = theme.colors.getContrastText(shown.color, 3);
          const word = formattedValueToString(shown);
          if (ctx.measureText(word).width + 8 * pixel < length) ctx.fillText(word, left + 4 * pixel, middle);
        }
      });
      ctx.restore();
    });
    return builder;
  });
  const times = data[0].fields[0].values;
  return <UPlotChart config={config} data={[times, times.map(() => 0)]} width={width} height={height} />;
}

const PANELS = { stat: Stat, bargauge: Bars, table: Rows, timeseries: Graph, 'state-timeline': Timeline };

function Board({ board, data, range, replace, width }) {
  const column = (width - GAP) / COLUMNS;
  return board.panels.map((panel) => {
    const { x, y, w, h } = panel.gridPos;
    const Inner = PANELS[panel.type];
    const place = {
      position: 'absolute', left: GAP + x * column, top: GAP + y * (ROW + GAP),
      width: w * column - GAP, height: h * (ROW + GAP) - GAP,
    };
    return (
      <div key={panel.id} style={place}>
        <PanelChrome
          title={replace(panel.title)} description={panel.description} width={place.width} height={place.height}
          padding={panel.type === 'table' ? 'none' : 'md'}
        >
          {(width, height) => (
            <Inner panel={panel} data={data[panel.id]} range={range} replace={replace} width={width} height={height} />
          )}
        </PanelChrome>
      </div>
    );
  });
}

// -- all of it ------------------------------------------------------------------------------------
async function draw() {
  const { board, answers, variables, from, to } = await (await fetch(`${location.search.slice(1)}.json`)).json();
  registerOptions(board);
  const seconds = { from, to };
  const range = { from: dateTime(from * 1000), to: dateTime(to * 1000) };
  range.raw = { from: range.from, to: range.to };
  const replace = (text) => text.replace(/\$(\w+)/g, (found, name) => variables[name] ?? found);
  const data = {};
  for (const panel of board.panels) {
    const { defaults, overrides } = panel.fieldConfig;
    if (panel.type === 'timeseries') defaults.custom = { ...LINES, ...defaults.custom };
    panel.fieldConfig = { defaults, overrides: overrides ?? [] };
    data[panel.id] = applyFieldOverrides({
      data: await transformed(panel, frames(panel, answers[panel.id], seconds)),
      fieldConfig: panel.fieldConfig, replaceVariables: replace, theme, timeZone: 'browser',
      fieldConfigRegistry: standardFieldConfigEditorRegistry,
    });
  }
  await Promise.all(['400 12px Inter', '500 12px Inter'].map((font) => document.fonts.load(font)));
  const bottom = Math.max(...board.panels.map(({ gridPos: { y, h } }) => y + h)) * (ROW + GAP) + GAP;
  createRoot(document.getElementById('board')).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <Board board={board} data={data} range={range} replace={replace} width={window.innerWidth} />
    </ThemeContext.Provider>);
  // The icons are files, and come last.
  const frame = () => new Promise(requestAnimationFrame);
  while (document.querySelectorAll('section svg').length < board.panels.length) await frame();
  await frame();
  return bottom;
}

window.drawn = draw();
