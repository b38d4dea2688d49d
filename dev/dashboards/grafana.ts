import {
  LegendDisplayMode,
  VizLegendOptionsBuilder,
  ReduceDataOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import {
  DashboardBuilder,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  MappingType,
  QueryVariableBuilder,
  RowBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  type ValueMapping,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as StateTimelineBuilder } from '@grafana/grafana-foundation-sdk/statetimeline';
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder as TimeseriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';
import { format } from 'prettier';
import { type Dashboard, type Panel, registrationUid, type Variable } from './dashboard.ts';

const datasource = { type: 'prometheus', uid: '${datasource}' };
const heights = { number: 4, lines: 8, table: 8, states: 5 } as const;

/** The dashboard as JSON that Grafana imports. */
export function grafanaJson(dashboard: Dashboard): Promise<string> {
  const builder = new DashboardBuilder(dashboard.title)
    .uid(dashboard.uid)
    .description(dashboard.description)
    .tags(['lti-key-operator', 'generated'])
    .time({ from: 'now-24h', to: 'now' })
    .timezone('browser')
    .refresh('1m')
    .link(
      new DashboardLinkBuilder('LTI keys')
        .type(DashboardLinkType.Dashboards)
        .tags(['lti-key-operator'])
        .includeVars(true)
        .keepTime(true),
    )
    .withVariable(new DatasourceVariableBuilder('datasource').label('Data source').type('prometheus'));
  for (const variable of dashboard.variables) builder.withVariable(variableOf(variable));
  for (const { title, panels } of dashboard.rows) {
    builder.withRow(new RowBuilder(title));
    for (const panel of panels) builder.withPanel(panelOf(panel));
  }
  return format(JSON.stringify(numbered(builder.build())), { parser: 'json', printWidth: 120 });
}

/** Links to a single panel name it by its number. */
function numbered<T extends { panels?: object[] }>(dashboard: T): T {
  const panels = dashboard.panels?.map((panel, index) => ({ ...panel, id: index + 1 }));
  return { ...dashboard, ...(panels && { panels }) };
}

function variableOf({ name, query, all = false }: Variable): QueryVariableBuilder {
  const variable = new QueryVariableBuilder(name)
    .query({ query, refId: name })
    .datasource(datasource)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    // oxlint-disable-next-line unicorn/no-array-sort -- not an array
    .sort(VariableSort.AlphabeticalAsc);
  // Not `.+`: with one cluster, series have no such label.
  return all
    ? variable.includeAll(true).allValue('.*').current({ text: 'All', value: '$__all', selected: true })
    : variable;
}

function panelOf(panel: Panel) {
  const { kind } = panel;
  if (kind === 'lines') return common(new TimeseriesBuilder().legend(legend()), panel).axisSoftMin(0);
  if (kind === 'states') return common(new StateTimelineBuilder().legend(legend()), panel);
  if (kind === 'table') return table(panel);
  return common(new StatBuilder().reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull'])), panel);
}

function legend(): VizLegendOptionsBuilder {
  return new VizLegendOptionsBuilder().displayMode(LegendDisplayMode.List).showLegend(true).calcs([]);
}

/** Columns are the labels of the series; the column Value has their value. */
function table(panel: Panel): TableBuilder {
  return common(new TableBuilder(), panel).withTransformation({
    id: 'organize',
    options: { excludeByName: { Time: true }, indexByName: {}, renameByName: {} },
  });
}

type Builder = TimeseriesBuilder | StateTimelineBuilder | TableBuilder | StatBuilder;

function common<T extends Builder>(builder: T, panel: Panel): T {
  const { kind, title, help, width, unit, queries, alarmAbove, meanings, linksToRegistration } = panel;
  builder.title(title).description(help).span(width).height(heights[kind]).datasource(datasource);
  for (const [index, { expr, legend: legendFormat }] of queries.entries()) {
    const query = new DataqueryBuilder()
      .refId(String.fromCharCode('A'.charCodeAt(0) + index))
      .datasource(datasource)
      .expr(expr)
      .legendFormat(legendFormat);
    if (kind === 'table') query.format(PromQueryFormat.Table);
    builder.withTarget(kind === 'table' || kind === 'number' ? query.instant() : query.range());
  }
  if (unit !== undefined) builder.unit(unit);
  if (meanings !== undefined) builder.mappings([mapping(meanings)]);
  if (kind === 'number') builder.thresholds(thresholds(alarmAbove));
  if (linksToRegistration) builder.dataLinks([registrationLink()]);
  return builder;
}

function mapping(meanings: Readonly<Record<string, string>>): ValueMapping {
  const options = Object.fromEntries(Object.entries(meanings).map(([value, text], index) => [value, { text, index }]));
  return { type: MappingType.ValueToText, options };
}

function thresholds(alarmAbove: number | undefined): ThresholdsConfigBuilder {
  const base = { value: null, color: alarmAbove === undefined ? 'text' : 'green' };
  // Thresholds begin at their value; this one is exclusive.
  const alarm = alarmAbove === undefined ? [] : [{ value: alarmAbove + 1e-9, color: 'red' }];
  return new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps([base, ...alarm]);
}

function registrationLink(): DashboardLinkBuilder {
  return new DashboardLinkBuilder('Open the registration')
    .type(DashboardLinkType.Link)
    .url(
      `/d/${registrationUid}?\${datasource:queryparam}&\${cluster:queryparam}` +
        '&var-namespace=${__data.fields.namespace}&var-registration=${__data.fields.registration}',
    );
}
