// The page of a report. Everything that comes from results is put into the document as text, never as HTML.
(() => {
"use strict";

const overview = JSON.parse(document.getElementById("overview").textContent);
const views = new Map(overview.views.map((view) => [view.name, view]));
const facets = overview.facets;
const MISSING = "–";
const NARROW = innerWidth < 640;
/** How many columns show at first. */
const COLUMNS = NARROW ? 4 : 8;
const MOST_CURVES = NARROW ? 6 : 12;
const CURVES = { val_accuracy: "validation accuracy", val_loss: "validation loss", accuracy: "training accuracy", loss: "training loss" };
const pairs = new Map(overview.pairs.map((pair) => [pair.name, pair]));

const byId = (id) => document.getElementById(id);
const once = (make) => { let made; return () => (made ??= make()); };
const details = once(() => JSON.parse(byId("details-data").textContent));

/** Make an element: attributes that are functions become listeners, children are nodes or text. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== undefined && child !== null));
  return element;
}

/** Return text with its `code` set apart. */
const withCode = (text) => text.split("`").map((part, place) => (place % 2 ? make("code", {}, part) : part));

// --- values as text -------------------------------------------------------------------------------------------

/** Write a number with three digits, and with all of its whole ones. */
function figure(value) {
  if (Math.abs(value) >= 1000) return value.toLocaleString("en", { maximumFractionDigits: 0 });
  return value.toLocaleString("en", { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
}

const SCALES = { percent: 100, points: 100, ms: 1000, bytes: 1e-6 };
const UNITS = { percent: "%", points: "points", seconds: "s", ms: "ms", bytes: "MB" };
const WRITTEN = {
  text: String,
  count: (value) => value.toLocaleString("en"),
  percent: (value) => value.toFixed(2),
  points: (value) => (Number(value.toFixed(2)) + 0).toLocaleString("en", { minimumFractionDigits: 2, signDisplay: "negative" }).replace(/^(?!-|0\.00)/, "+"),
};

const isNumber = (column) => column.kind !== "text";
const isTime = (column) => ["seconds", "ms"].includes(column.kind) || column.field === "speed";
const scale = (column, value) => (SCALES[column.kind] ?? 1) * value;
/** Name the two sides of the pair in a title. */
const named = (title) => title.replace("{reference}", pairs.get(state.pair).reference).replace("{candidate}", state.pair);
const heading = (column) => (column.group ? `${named(column.group)}: ${named(column.title)}` : UNITS[column.kind] ? `${column.title}, ${UNITS[column.kind]}` : column.title);

function written(column, value) {
  if (value === undefined) return MISSING;
  return typeof value === "string" ? value : (WRITTEN[column.kind] ?? figure)(scale(column, value));
}

/** Write what the data leave open around a value: half an interval, or a range. */
function interval(column, row) {
  const [half, range] = [row[`${column.field}_half`], row[`${column.field}_range`]];
  if (half !== undefined) return ` ±${written({ kind: column.kind === "points" ? "percent" : column.kind }, half)}`;
  return range ? ` (${range.map((end) => written(column, end)).join("–")})` : "";
}

const className = (value) => (typeof value === "string" && /^[a-z -]+$/.test(value) ? value.replaceAll(" ", "-") : "");

function cellNode(column, row) {
  const value = row[column.field];
  if (column.field === "case") return make("span", {}, make("small", { class: "missing" }, `${row.suite}/`), make("wbr"), value);
  if (value === undefined) {
    const status = row[`${column.field}_status`];
    return status && status !== "ok" ? make("small", { class: className(status) }, status) : make("span", { class: "missing" }, MISSING);
  }
  const marked = ["status", "verdict", "twins"].includes(column.field) ? className(value) : isTime(column) && row.comparable === "no" ? "rough" : "";
  const title = marked === "rough" ? "timed beside other work" : undefined;
  return make("span", { class: marked, title }, written(column, value), make("small", { class: "missing" }, interval(column, row)));
}

// --- state: what the address keeps -----------------------------------------------------------------------------

const state = { view: overview.views[0].name, pair: overview.pairs[0].name, q: "", chosen: {}, sort: null, columns: null, x: null, y: null, curve: null, open: null };

function readAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const view = parts.get("view");
  state.view = views.has(view) ? view : overview.views[0].name;
  state.pair = pairs.has(parts.get("pair")) ? parts.get("pair") : overview.pairs[0].name;
  state.q = parts.get("q") ?? "";
  state.chosen = {};
  for (const facet of facets) if (parts.has(facet)) state.chosen[facet] = new Set(parts.getAll(facet));
  const sort = parts.get("sort");
  state.sort = sort ? { column: sort.replace(/^-/, ""), dir: sort.startsWith("-") ? "desc" : "asc" } : null;
  state.columns = parts.has("column") ? new Set(parts.getAll("column")) : null;
  for (const name of ["x", "y", "curve", "open"]) state[name] = parts.get(name);
}

function writeAddress() {
  const parts = new URLSearchParams();
  if (state.view !== overview.views[0].name) parts.set("view", state.view);
  if (state.pair !== overview.pairs[0].name) parts.set("pair", state.pair);
  if (state.q) parts.set("q", state.q);
  for (const [facet, values] of Object.entries(state.chosen)) for (const value of values) parts.append(facet, value);
  if (state.sort) parts.set("sort", (state.sort.dir === "desc" ? "-" : "") + state.sort.column);
  for (const field of state.columns ?? []) parts.append("column", field);
  for (const name of ["x", "y", "curve", "open"]) if (state[name]) parts.set(name, state[name]);
  const address = parts.toString();
  if (address !== location.hash.slice(1)) {
    history.replaceState(null, "", address ? `#${address}` : location.pathname + location.search);
  }
}

// --- filter ----------------------------------------------------------------------------------------------------

const view = () => views.get(state.view);
/** The rows of a view: those of the first are of one pair at a time. */
const rowsOf = (one) => one.rows.filter((row) => row.pair === undefined || row.pair === state.pair);
/** What the plots show: twins side by side are two configurations. */
const plotted = () => (state.view === "cases" ? views.get("configurations") : view());
const columnOf = (field, of = view()) => of.columns.find((column) => column.field === field);

function haystack(row) {
  row.$text ??= view().columns.map((column) => written(column, row[column.field])).join("\n").toLowerCase();
  return row.$text;
}

function matches(row) {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = Object.entries(state.chosen).filter(([facet]) => facet in row);
  return chosen.every(([facet, values]) => values.has(row[facet])) && words.every((word) => haystack(row).includes(word));
}

const filters = () => Boolean(state.q || Object.keys(state.chosen).length);

function changed() {
  showFilter();
  writeAddress();
  const table = tables.get(state.view);
  if (filters()) table.setFilter(matches);
  else table.clearFilter();
}

function menu(title, choices, chosen, choose) {
  const boxes = choices.map(([value, text]) =>
    make("label", {}, make("input", { type: "checkbox", value, checked: chosen(value), change: (event) => choose(value, event.target.checked) }), ` ${text}`));
  return [make("summary", {}, title), make("div", { class: "choices", role: "group", "aria-label": title }, boxes)];
}

function buildFacets() {
  for (const facet of facets) {
    const counts = new Map();
    for (const row of rowsOf(view())) if (row[facet] !== undefined) counts.set(row[facet], (counts.get(row[facet]) ?? 0) + 1);
    const choices = [...counts].map(([value, count]) => [value, `${value} (${count})`]);
    for (const value of state.chosen[facet] ?? []) if (!counts.has(value)) choices.push([value, `${value} (0)`]);
    const choose = (value, on) => {
      const values = new Set(state.chosen[facet]);
      if (on) values.add(value);
      else values.delete(value);
      if (values.size) state.chosen[facet] = values;
      else delete state.chosen[facet];
      changed();
    };
    const made = make("details", { class: "menu", name: "menu", "data-facet": facet });
    made.hidden = choices.length < 2;
    made.append(...menu(facet, choices, (value) => Boolean(state.chosen[facet]?.has(value)), choose));
    const before = byId("facets").querySelector(`[data-facet="${facet}"]`);
    if (before) before.replaceWith(made);
    else byId("facets").append(made);
  }
}

function buildColumns() {
  const shown = visibleColumns();
  const choose = (field, on) => {
    const now = visibleColumns();
    if (on) now.add(field);
    else now.delete(field);
    state.columns = now;
    showColumns();
    writeAddress();
  };
  byId("columns").replaceChildren(...menu("Columns", view().columns.map((column) => [column.field, heading(column)]), (field) => shown.has(field), choose));
}

const visibleColumns = () => new Set(state.columns ?? firstColumns());

/** The columns that show at first: of those that have anything to show, the ones with the lowest ranks. */
function firstColumns() {
  const filled = view().columns.filter(({ field, rank }) => rank !== null && rowsOf(view()).some((row) => row[field] !== undefined));
  return filled.filter(({ rank }) => filled.filter((other) => other.rank <= rank).length <= COLUMNS).map(({ field }) => field);
}

function showColumns() {
  const shown = visibleColumns();
  const table = tables.get(state.view);
  for (const column of view().columns) {
    if (shown.has(column.field)) table.showColumn(column.field);
    else table.hideColumn(column.field);
  }
}

/** Bring search box, menus and buttons in line with the state. */
function showFilter() {
  if (byId("search").value !== state.q) byId("search").value = state.q;
  for (const made of byId("facets").children) {
    const facet = made.dataset.facet;
    const values = state.chosen[facet];
    made.classList.toggle("chosen", Boolean(values));
    made.firstChild.textContent = values ? `${facet}: ${[...values].join(", ")}` : facet;
  }
  for (const button of byId("views").children) button.setAttribute("aria-pressed", String(button.value === state.view));
}

// --- tables ----------------------------------------------------------------------------------------------------

const tables = new Map();
let current = null;

/** Order numbers by size and texts by the alphabet; what is missing (to Tabulator: empty) comes last either way. */
function sorter(one, other, _rowOne, _rowOther, _column, direction) {
  const [first, second] = [one, other].map((value) => value === undefined || value === "");
  if (first || second) return first === second ? 0 : first === (direction === "asc") ? 1 : -1;
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), "en", { numeric: true });
}

function buildTable(name) {
  const shown = visibleColumns();
  const place = make("div", { "data-view": name });
  byId("tables").append(place);
  const columns = view().columns.map((column) => ({
    field: column.field,
    title: column.title,
    visible: shown.has(column.field),
    frozen: column.field === "case",
    hozAlign: isNumber(column) ? "right" : "left",
    cssClass: isNumber(column) ? "number" : "",
    headerHozAlign: isNumber(column) ? "right" : "left",
    headerSortStartingDir: isNumber(column) ? "desc" : "asc",
    sorter,
    formatter: (cell) => cellNode(column, cell.getRow().getData()),
    titleFormatter: () => make("span", {}, column.group && [make("small", {}, named(column.group)), make("br")], column.group ? named(column.title) : heading(column)),
    width: NARROW ? (column.field === "case" ? 128 : 84) : undefined,
    maxInitialWidth: 420,
  }));
  const table = new Tabulator(place, {
    data: rowsOf(view()),
    columns,
    index: "id",
    layout: "fitData",
    rowHeight: NARROW ? 50 : 28,
    maxHeight: "65vh",
    columnHeaderSortMulti: false,
    initialSort: state.sort && columnOf(state.sort.column) ? [{ column: state.sort.column, dir: state.sort.dir }] : [],
    placeholder: "Nothing matches the filter.",
  });
  table.on("rowClick", (_event, row) => { setCurrent(row); open(row.getData().id); });
  table.on("headerClick", () => setTimeout(noteSort));
  table.on("dataFiltered", (_filters, rows) => afterFilter(rows.map((row) => row.getData())));
  table.on("tableBuilt", () => {
    for (const header of place.querySelectorAll(".tabulator-col")) header.tabIndex = 0;
    place.querySelector(".tabulator-tableholder").setAttribute("aria-label", `${view().title}: arrow keys move, Enter opens`);
    // Only now, so that columns are as wide as all rows need, not those that the address lets through.
    if (filters()) table.setFilter(matches);
    performance.mark("table");
  });
  place.addEventListener("keydown", (event) => tableKeys(event, table));
  tables.set(name, table);
}

function noteSort() {
  const [sort] = tables.get(state.view).getSorters();
  state.sort = sort ? { column: sort.field, dir: sort.dir } : null;
  writeAddress();
}

function tableKeys(event, table) {
  const header = event.target.closest(".tabulator-col");
  if (header) {
    if (event.key === "Enter" || event.key === " ") {
      header.click();
      event.preventDefault();
    }
    return;
  }
  const rows = table.getRows("active");
  if (!rows.length) return;
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15, Home: -Infinity, End: Infinity };
  if (event.key in steps) {
    const now = rows.indexOf(current);
    const next = now < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, now + steps[event.key]));
    setCurrent(rows[next]);
    table.scrollToRow(current, "nearest", false);
    event.preventDefault();
  } else if (event.key === "Enter" && current) {
    open(current.getData().id);
    event.preventDefault();
  }
}

function setCurrent(row) {
  current?.getElement().classList.remove("current");
  current = row;
  row?.getElement().classList.add("current");
}

let shownRows = [];

function afterFilter(rows) {
  shownRows = rows;
  const all = rowsOf(view()).length;
  byId("count").textContent = rows.length === all ? `${all.toLocaleString("en")} rows` : `${rows.length.toLocaleString("en")} of ${all.toLocaleString("en")} rows`;
  if (current && !rows.includes(current.getData())) setCurrent(null);
  redraw();
}

/** Set another candidate beside its reference: rows and headings are others. */
function showPair(name) {
  state.pair = name;
  writeAddress();
  tables.get("cases")?.destroy();
  tables.delete("cases");
  byId("tables").querySelector('[data-view="cases"]')?.remove();
  showView();
}

function showView() {
  for (const place of byId("tables").children) place.hidden = place.dataset.view !== state.view;
  byId("against").hidden = state.view !== "cases" || pairs.size < 2;
  byId("pair").value = state.pair;
  byId("reference").textContent = pairs.get(state.pair).reference;
  setCurrent(null);
  buildFacets();
  buildColumns();
  buildPlotChoices();
  showFilter();
  const table = tables.get(state.view);
  if (!table) {
    buildTable(state.view);
    return;
  }
  showColumns();
  if (state.sort) table.setSort(state.sort.column, state.sort.dir);
  else table.clearSort();
  changed();
}

// --- plots -----------------------------------------------------------------------------------------------------

const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const palette = variable("--palette").split(/\s+/);
const colours = () => variable("--series").split(/\s+/);
/** The places in the palette of the backends that have colours of their own; the others get what is left in turn. */
const places = new Map(Object.entries(overview.colours).map(([backend, colour]) => [backend, palette.indexOf(colour.toLowerCase())]));
const left = palette.map((_, place) => place).filter((place) => ![...places.values()].includes(place));
const others = new Set(overview.views.flatMap((one) => one.rows.map((row) => row.backend)).filter((name) => name && !places.has(name)).sort());
[...others].forEach((backend, place) => places.set(backend, left[place % left.length]));
const colourOf = (backend) => colours()[places.get(backend)] ?? overview.colours[backend];
/** Points by kernel: Chart.js draws them inside a circle of the radius, so that these look equally large. */
const POINTS = { fused: ["circle", 3.5], generic: ["triangle", 5], none: ["rect", 4.5] };
const drawn = new Map();

/** Draw a chart, or say in its place why there is none: `nothing` is empty where there is something to draw. */
function draw(canvas, configuration, nothing = "") {
  drawn.get(canvas)?.destroy();
  canvas.parentElement.dataset.nothing = nothing;
  Chart.defaults.color = variable("--front");
  Chart.defaults.borderColor = variable("--line");
  Chart.defaults.font.size = 12;
  drawn.set(canvas, new Chart(canvas, configuration));
}

function axis(title, more = {}) {
  return { title: { display: true, text: title }, grid: { color: variable("--line") }, ...more };
}

function buildPlotChoices() {
  const columns = plotted().columns;
  const numbers = columns.filter((column) => isNumber(column) && !["seed", "repeat", "n"].includes(column.field));
  const option = (column) => make("option", { value: column.field }, heading(column));
  byId("y").replaceChildren(...numbers.map(option));
  byId("x").replaceChildren(option(columnOf("case", plotted())), ...numbers.map(option));
  byId("curve").replaceChildren(...Object.entries(CURVES).map(([value, text]) => make("option", { value }, text)));
  const pick = (id, ...wanted) => {
    const values = [...byId(id).options].map((one) => one.value);
    byId(id).value = wanted.find((one) => values.includes(one)) ?? values[0];
  };
  const rows = rowsOf(view()).flatMap(configured);
  const measured = (field) => rows.some((row) => row.backend && typeof row[field] === "number");
  pick("y", state.y, ...["test", "val", "step", "epoch"].filter(measured));
  pick("x", state.x, ...(isTime(columnOf(byId("y").value, plotted())) ? [] : ["step", "epoch"].filter(measured)), "case");
  pick("curve", state.curve, "val_accuracy");
}

const LOG_TICKS = { callback: (value) => (/^[125]e/.test(value.toExponential()) ? value.toLocaleString("en", { maximumSignificantDigits: 1 }) : ""), maxRotation: 0 };

/** Write names beside points where there is room: each once, over no other name and no point. */
const NAMES = {
  id: "names",
  afterDatasetsDraw(chart, _arguments, { rowOf = () => undefined, text: textOf = (row) => row.case }) {
    const { ctx, chartArea, data } = chart;
    const points = data.datasets.flatMap((set, place) => chart.getDatasetMeta(place).data.map((point, at) => ({ point, row: rowOf(set, at) })));
    const shown = points.filter(({ point }) => !point.skip);
    const taken = shown.map(({ point }) => [point.x - 3, point.y - 3, point.x + 3, point.y + 3]);
    const done = new Set();
    ctx.save();
    Object.assign(ctx, { font: "11px sans-serif", fillStyle: variable("--front"), textBaseline: "middle" });
    for (const { point, row } of shown) {
      const text = row && textOf(row);
      if (!text || done.has(`${row.suite}/${row.case} ${text}`)) continue;
      const width = ctx.measureText(text).width;
      const boxes = [[7, 0], [-7 - width, 0], [-width / 2, -11], [-width / 2, 11]].map(([dx, dy]) => [point.x + dx, point.y + dy - 6, point.x + dx + width, point.y + dy + 6]);
      const inside = (box) => box[0] >= chartArea.left && box[2] <= chartArea.right && box[1] >= chartArea.top && box[3] <= chartArea.bottom;
      const free = (box) => taken.every((other) => box[2] < other[0] || other[2] < box[0] || box[3] < other[1] || other[3] < box[1]);
      const box = boxes.find((one) => inside(one) && free(one));
      if (!box) continue;
      ctx.fillText(text, box[0], box[1] + 6);
      taken.push(box);
      done.add(`${row.suite}/${row.case} ${text}`);
    }
    chart.names = [...done];
    ctx.restore();
  },
};

function drawScatter() {
  const [x, y] = [columnOf(byId("x").value, plotted()), columnOf(byId("y").value, plotted())];
  const both = shownRows.flatMap(configured).filter((row) => row.backend && typeof row[y.field] === "number" && (x.field === "case" || typeof row[x.field] === "number"));
  const timed = isTime(x) || isTime(y);
  const isRough = (row) => timed && row.comparable === "no";
  const place = (row) => `${row.suite}/${row.case}`;
  const groups = groupBy(both, seriesOf);
  const datasets = [...groups.keys()].sort().map((name) => {
    const rows = groups.get(name);
    const colour = colourOf(rows[0].backend);
    return {
      label: name,
      data: rows.map((row) => ({ x: x.field === "case" ? place(row) : scale(x, row[x.field]), y: scale(y, row[y.field]), row })),
      backgroundColor: colour,
      pointBackgroundColor: rows.map((row) => (isRough(row) ? "transparent" : colour)),
      borderColor: colour,
      pointStyle: POINTS[rows[0].kernel][0],
      radius: POINTS[rows[0].kernel][1],
      hoverRadius: 7,
    };
  });
  const values = both.map((row) => row[x.field]);
  const wide = x.kind !== "text" && x.kind !== "percent" && Math.min(...values) > 0 && Math.max(...values) > 20 * Math.min(...values);
  const labels = x.field === "case" ? [...new Set(both.map(place))] : undefined;
  byId("rough").hidden = !both.some(isRough);
  byId("scatter").setAttribute("aria-label", `${y.title} against ${x.title}: ${both.length} points; the table holds their values`);
  draw(byId("scatter"), {
    type: "scatter",
    data: { labels, datasets },
    plugins: [NAMES],
    options: {
      animation: false,
      maintainAspectRatio: false,
      scales: {
        x: axis(heading(x), labels ? { type: "category", ticks: { autoSkip: false, maxRotation: 70 } } : wide ? { type: "logarithmic", ticks: LOG_TICKS } : {}),
        y: axis(heading(y), { grace: "5%" }),
      },
      plugins: {
        legend: { position: "bottom", labels: { usePointStyle: true, boxHeight: 8 } },
        names: labels ? {} : { rowOf: (set, at) => set.data[at].row },
        tooltip: { callbacks: { label: ({ raw }) => [raw.row.id, ...[y, x].map((column) => `${heading(column)}: ${written(column, raw.row[column.field])}${interval(column, raw.row)}`)] } },
      },
      onClick: (_event, hits, chart) => { if (hits.length) open(chart.data.datasets[hits[0].datasetIndex].data[hits[0].index].row.id); },
    },
  }, both.length ? "" : `No row in the table has ${[y, x].filter((column) => column.field !== "case").map((column) => column.title).join(" and ")}.`);
}

const seriesOf = (row) => `${row.backend}, ${row.kernel}`;

function groupBy(items, key) {
  const groups = new Map();
  for (const item of items) {
    if (!groups.has(key(item))) groups.set(key(item), []);
    groups.get(key(item)).push(item);
  }
  return groups;
}

/** The rows of the plotted view that a row of the table stands for. */
const configured = (row) => (row.pair === undefined ? [row] : [row.reference, row.candidate].map((id) => byName(id, "configurations")).filter(Boolean));
const byName = (id, name) => views.get(name).rows.find((row) => row.id === id);
const withTwin = (row) => [row, byName(row.twin, "seed" in row ? "cells" : "configurations")].filter(Boolean);
const cellsOf = (row) => ("seed" in row ? [row] : views.get("cells").rows.filter((cell) => ["suite", "case", "backend", "kernel", "device", "numerics"].every((name) => cell[name] === row[name])));

/** Return the learning curve of a cell, or of a configuration the mean over the cells that trained so long. */
function curveOf(row, field) {
  const runs = cellsOf(row).map((cell) => details().records[cell.id].metrics?.epochs?.[field]).filter(Boolean);
  const length = Math.max(0, ...runs.map((run) => run.length));
  const each = Array.from({ length }, (_, epoch) => runs.map((run) => run[epoch]).filter((value) => typeof value === "number"));
  return { row, counts: each.map((found) => found.length), values: each.map((found) => (found.length ? found.reduce((sum, value) => sum + value) / found.length : null)) };
}

const curvesOf = (rows, field) => rows.map((row) => curveOf(row, field)).filter(({ values }) => values.some((value) => value !== null));

/** Draw curves: colour is the backend; dashed on `isDashed`; thin where fewer cells trained so long. */
function curvesChart(canvas, lines, title, isDashed, text) {
  const percent = title.endsWith("accuracy");
  draw(canvas, {
    type: "line",
    plugins: [NAMES],
    data: {
      labels: Array.from({ length: Math.max(0, ...lines.map((line) => line.values.length)) }, (_, epoch) => epoch + 1),
      datasets: lines.map((line) => ({
        label: line.label ?? line.row.id,
        row: line.row,
        data: line.values.map((value) => (percent && value !== null ? 100 * value : value)),
        borderColor: colourOf(line.row.backend),
        backgroundColor: colourOf(line.row.backend),
        borderDash: isDashed(line) ? [5, 4] : [],
        borderWidth: 1.8,
        segment: { borderWidth: ({ p1DataIndex }) => (line.counts[p1DataIndex] < line.counts[0] ? 0.7 : undefined) },
        pointRadius: 2,
      })),
    },
    options: {
      animation: false,
      maintainAspectRatio: false,
      interaction: { mode: "nearest", intersect: false },
      scales: { x: axis("epoch", { ticks: { maxRotation: 0, autoSkipPadding: 12 } }), y: axis(`${title}${percent ? ", %" : ""}`) },
      plugins: {
        legend: { display: false },
        names: { rowOf: (set, at) => (at === set.data.length - 1 ? set.row : undefined), text },
      },
    },
  }, lines.length ? "" : `No cell in the table has a ${title} by epoch.`);
}

/** Say which colour is which backend. */
const keys = (rows) => [...new Set(rows.map((row) => row.backend))].sort().flatMap((backend) => {
  const key = make("span", { class: "key" }, "━");
  key.style.color = colourOf(backend);
  return [key, ` ${backend} `];
});

/** Draw the chosen curves, else the first kind that a row in the table has: of every row, and of its twin. */
function drawCurves() {
  const rows = [...new Set(shownRows.flatMap(configured).filter((row) => row.backend).flatMap(withTwin))];
  const field = state.curve ?? Object.keys(CURVES).find((one) => curvesOf(rows.slice(0, MOST_CURVES), one).length) ?? byId("curve").value;
  byId("curve").value = field;
  const found = curvesOf(rows, field);
  const lines = found.slice(0, MOST_CURVES);
  const dashed = lines.some((line) => line.row.kernel === "generic") && lines.some((line) => line.row.kernel !== "generic");
  byId("curves-shown").replaceChildren(
    ...keys(lines.map((line) => line.row)),
    make("br"), [found.length > lines.length ? `the first ${lines.length} of ${found.length} curves; filter for others` : `${found.length.toLocaleString("en")} curves`,
      state.view !== "cells" && "means over seeds, thin where some had stopped", dashed && "dashed: generic kernel"].filter(Boolean).join("; "));
  byId("curves").setAttribute("aria-label", `${CURVES[field]} by epoch of ${lines.length} curves; the details of a cell hold its values`);
  curvesChart(byId("curves"), lines, CURVES[field], (line) => dashed && line.row.kernel === "generic");
}

let waiting = 0;

/** Draw the plots once, after the table has been shown. */
function redraw() {
  cancelAnimationFrame(waiting);
  waiting = requestAnimationFrame(() => { waiting = requestAnimationFrame(() => { drawScatter(); drawCurves(); }); });
}

// --- details ---------------------------------------------------------------------------------------------------

function open(id) {
  state.open = id;
  writeAddress();
  showDetails();
}

function showDetails() {
  const dialog = byId("details");
  const record = details().records[state.open];
  const row = byName(state.open, record ? "cells" : "configurations") ?? overview.views[0].rows.find((one) => one.id === state.open);
  if (!row) {
    state.open = null;
    if (dialog.open) dialog.close();
    return;
  }
  const sides = row.pair === undefined ? withTwin(row) : configured(row);
  dialog.replaceChildren(...(record ? cellDetails(record, row, sides) : rowDetails(row, sides)));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  drawOwnCurve(dialog, sides);
}

function detailsHead(title, status) {
  return make("div", { class: "head" },
    make("h2", { id: "details-title" }, title, " ", make("span", { class: className(status) }, status)),
    make("button", { type: "button", "aria-label": "Previous row", click: () => neighbour(-1) }, "←"),
    make("button", { type: "button", "aria-label": "Next row", click: () => neighbour(1) }, "→"),
    make("button", { type: "button", click: () => byId("details").close() }, "Close"));
}

function section(title, content) {
  const filled = content !== undefined && content !== null && !(typeof content === "object" && !(content instanceof Node) && !Object.keys(content).length);
  return filled ? [make("h3", {}, title), content instanceof Node ? content : tree(content)] : [];
}

/** Show any JSON: objects as definition lists, lists of objects as tables, other lists on one line. */
function tree(content) {
  if (Array.isArray(content)) {
    if (content.length && content.every((one) => one && typeof one === "object" && !Array.isArray(one))) return grid(content);
    if (content.some((one) => typeof one === "string" && one.length > 40)) return make("ul", { class: "plain" }, content.map((one) => make("li", {}, scalar(one))));
    return document.createTextNode(content.map((one) => (Array.isArray(one) ? `[${one.map(scalar).join(", ")}]` : scalar(one))).join(", ") || "none");
  }
  if (content && typeof content === "object") {
    const flat = Object.values(content).every((value) => typeof value !== "object" && String(value).length < 40);
    const pairs = Object.entries(content).map(([name, value]) => make("div", {}, make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, tree(value))));
    return make("dl", { class: flat && pairs.length > 3 ? "flat" : undefined }, pairs);
  }
  return document.createTextNode(scalar(content));
}

const scalar = (value) => (Number.isInteger(value) ? value.toLocaleString("en") : typeof value === "number" ? value.toLocaleString("en", { maximumSignificantDigits: 6 }) : typeof value === "object" ? JSON.stringify(value) : String(value));

function grid(rows) {
  const names = [...new Set(rows.flatMap(Object.keys))];
  const numeric = (value) => (typeof value === "number" ? "number" : undefined);
  const broken = new Set(names.filter((name) => rows.some((row) => typeof row[name] === "number" && !Number.isInteger(row[name]))));
  const content = (name, value) => (value === undefined ? MISSING : typeof value === "number" && broken.has(name) ? value.toFixed(4) : tree(value));
  const line = (row) => make("tr", {}, names.map((name) => make("td", { class: numeric(row[name]) }, content(name, row[name]))));
  const head = make("tr", {}, names.map((name) => make("th", { class: numeric(rows[0][name]) }, name.replaceAll("_", " "))));
  return make("div", { class: "scroll", tabindex: 0 }, make("table", {}, make("thead", {}, head), make("tbody", {}, rows.map(line))));
}

const IDENTITY = ["suite", "case", "backend", "kernel", "device", "numerics", "seed", "repeat", "profile", "measure"];

/** Set numbers of a row against those of its twin. */
function versus([first, second]) {
  if (!second) return undefined;
  const columns = views.get("seed" in first ? "cells" : "configurations").columns.filter((column) => isNumber(column) && !["seed", "repeat"].includes(column.field));
  const both = columns.filter((column) => typeof (first[column.field] ?? second[column.field]) === "number");
  const change = (column, [base, value] = [first[column.field], second[column.field]]) => {
    const rough = isTime(column) && [first, second].some((row) => row.comparable === "no");
    if (typeof base !== "number" || typeof value !== "number" || rough) return MISSING;
    if (column.kind === "percent") return `${WRITTEN.points(100 * (value - base))} points`;
    return base === value ? "the same" : `× ${figure(value / base)}`;
  };
  const cell = (column, row) => make("td", { class: "number" }, cellNode(column, row));
  const lines = both.map((column) => make("tr", {}, make("td", {}, heading(column)), cell(column, first), cell(column, second), make("td", { class: "number" }, change(column))));
  const titles = [seriesOf(first), seriesOf(second), "second against first"];
  const head = make("tr", {}, make("th", {}), titles.map((title) => make("th", { class: "number" }, title)));
  return make("div", { class: "scroll", tabindex: 0, id: "versus" }, make("table", {}, make("thead", {}, head), make("tbody", {}, lines)));
}

const ownCurve = (rows) => Object.keys(CURVES).some((field) => curvesOf(rows, field).length)
  ? make("div", {}, make("p", { class: "missing" }, ...keys(rows), "solid: validation, dashed: training"), make("div", { class: "canvas" }, make("canvas", { role: "img", "aria-label": "Accuracy by epoch, beside its twin's" })))
  : undefined;

function cellDetails(record, row, sides) {
  const run = overview.runs.find((one) => one.name === row.run);
  const { suite, status, reason, failure, parameters, metrics, timing, memory, kernels_seen, data, details: notes, ...rest } = record;
  const name = `${suite}/${record.case}`;
  const { layers, ...counts } = parameters === undefined ? {} : details().parameters[parameters];
  const { epochs, ...scores } = metrics ?? {};
  const identity = Object.fromEntries(IDENTITY.map((field) => [field, record[field]]));
  const others = Object.entries(rest).filter(([field]) => !IDENTITY.includes(field));
  const [parts, scalars] = [true, false].map((wanted) => others.filter(([, value]) => (typeof value === "object") === wanted));
  const cell = `${name}@${record.backend},${record.kernel},${record.device},${record.numerics}#${record.seed}`;
  return [
    detailsHead(state.open, status),
    reason && make("pre", { class: className(status) }, reason),
    ...section("Traceback", failure && make("pre", { id: "traceback" }, failure.traceback)),
    ...section("Result", { ...identity, run: row.run, ...(row.comparable && { "times comparable": row.comparable }) }),
    ...section("Against its twin", versus(sides)),
    ...section("Scores", scoreTable(scores)),
    ...section("Learning curve", ownCurve(sides)),
    ...section("Epochs", epochs && epochTable(epochs)),
    ...section("Times, in seconds", timing),
    ...section("Memory", memory),
    ...section("Kernels seen", kernels_seen),
    ...parts.flatMap(([field, value]) => section(field.charAt(0).toUpperCase() + field.slice(1).replaceAll("_", " "), value)),
    ...section("Parameters", parameters === undefined ? undefined : counts),
    ...section("By layer", layers),
    ...section("Data", data),
    ...section("Case", details().cases[name]),
    ...section("Environment", run.environment),
    ...section("Further", { ...Object.fromEntries(scalars), ...notes }),
    ...section("Run it again", make("pre", {}, `bench run '${cell}' --measure=${record.measure} ${run.settings}`)),
  ].filter(Boolean);
}

function scoreTable(scores) {
  const rows = Object.entries(scores).flatMap(([weights, { epoch, ...sets }]) =>
    Object.entries(sets).map(([set, score]) => ({ weights: `${weights}, epoch ${epoch}`, set, ...score })));
  return rows.length ? grid(rows) : undefined;
}

function epochTable(epochs) {
  const names = Object.keys(epochs);
  return names.length ? grid(epochs[names[0]].map((_, place) => ({ epoch: place + 1, ...Object.fromEntries(names.map((name) => [name, epochs[name][place] ?? undefined])) }))) : undefined;
}

function drawOwnCurve(dialog, rows) {
  const canvas = dialog.querySelector("canvas");
  const lines = ["val_accuracy", "accuracy"].flatMap((field) => curvesOf(rows, field).map((line) => ({ ...line, field, label: `${seriesOf(line.row)}, ${CURVES[field]}` })));
  if (canvas) curvesChart(canvas, lines, "accuracy", (line) => line.field === "accuracy", (row) => row.backend);
}

/** The details of a case, or of a configuration: beside its twin, with its cells. */
function rowDetails(row, sides) {
  const columns = (row.pair === undefined ? views.get("configurations") : overview.views[0]).columns;
  const shown = Object.fromEntries(columns.filter((column) => row[column.field] !== undefined).map((column) => [heading(column), `${written(column, row[column.field])}${interval(column, row)}`]));
  const link = (one) => make("li", {}, make("button", { type: "button", click: () => open(one.id) }, one.id), " ", make("span", { class: className(one.status) }, one.status));
  const links = row.pair === undefined ? cellsOf(row) : views.get("configurations").rows.filter((one) => one.backend && one.suite === row.suite && one.case === row.case);
  return [
    detailsHead(row.id, row.status ?? ""),
    ...section("Side by side", versus(sides)),
    ...section("Learning curve", ownCurve(sides)),
    ...section(row.pair === undefined ? "Configuration" : "Pair", shown),
    ...section("Case", details().cases[`${row.suite}/${row.case}`]),
    ...section(row.pair === undefined ? "Cells" : "Configurations", links.length ? make("ul", { class: "plain" }, links.map(link)) : undefined),
  ];
}

function neighbour(step) {
  const rows = tables.get(state.view).getRows("active");
  const now = rows.findIndex((row) => row.getData().id === state.open);
  const next = rows[now < 0 ? 0 : now + step];
  if (!next) return;
  setCurrent(next);
  open(next.getData().id);
}

// --- printing: the whole table, not the rows in sight ---------------------------------------------------------

function printTable() {
  const shown = view().columns.filter((column) => visibleColumns().has(column.field));
  const rows = tables.get(state.view).getData("active");
  const cellClass = (column) => (isNumber(column) ? "number" : undefined);
  const head = make("tr", {}, shown.map((column) => make("th", { class: cellClass(column) }, heading(column))));
  const line = (row) => make("tr", {}, shown.map((column) => make("td", { class: cellClass(column) }, `${written(column, row[column.field])}${interval(column, row)}`)));
  return make("table", { id: "print" }, make("thead", {}, head), make("tbody", {}, rows.map(line)));
}

addEventListener("beforeprint", () => {
  document.documentElement.dataset.printing = "";
  byId("tables").after(printTable());
  drawScatter();
  drawCurves();
});
addEventListener("afterprint", () => {
  delete document.documentElement.dataset.printing;
  byId("print")?.remove();
  redraw();
});

// --- events ----------------------------------------------------------------------------------------------------

let typing = 0;
byId("search").addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(() => { state.q = event.target.value; changed(); }, 80);
});
byId("filter").addEventListener("submit", (event) => event.preventDefault());
byId("filter").addEventListener("reset", (event) => {
  event.preventDefault();
  state.q = "";
  state.chosen = {};
  buildFacets();
  changed();
});
for (const id of ["x", "y", "curve"]) byId(id).addEventListener("change", (event) => { state[id] = event.target.value; writeAddress(); redraw(); });
byId("pair").append(...overview.pairs.map(({ name }) => make("option", { value: name }, name)));
byId("pair").addEventListener("change", (event) => showPair(event.target.value));
byId("details").addEventListener("close", () => { state.open = null; writeAddress(); });
byId("details").addEventListener("click", (event) => { if (event.target === event.currentTarget) event.currentTarget.close(); });
addEventListener("hashchange", () => { readAddress(); showPair(state.pair); showDetails(); });
addEventListener("click", (event) => closeMenus(event.target.closest(".menu")));
addEventListener("keydown", (event) => {
  if (byId("details").open) {
    if (event.key === "ArrowLeft") neighbour(-1);
    else if (event.key === "ArrowRight") neighbour(1);
  } else if (event.key === "Escape") {
    closeMenus(null);
  } else if (event.key === "/" && !event.target.closest("input, select")) {
    byId("search").focus();
    event.preventDefault();
  } else if (event.key === "ArrowDown" && event.target === byId("search")) {
    byId("tables").querySelector(`[data-view="${state.view}"] .tabulator-tableholder`).focus();
    event.preventDefault();
  }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

function closeMenus(except) {
  for (const made of document.querySelectorAll(".menu[open]")) if (made !== except) made.open = false;
}

// --- start -----------------------------------------------------------------------------------------------------

const distinct = (of) => [...new Set(overview.runs.map(of))].join(", ");
byId("runs").textContent = [
  distinct((run) => run.name),
  `${distinct((run) => run.profile)} profile`,
  distinct((run) => run.started.slice(0, 10)),
  distinct((run) => [run.environment.cpu, ...(run.environment.gpus ?? []).map((gpu) => gpu.name ?? gpu)].filter(Boolean).join(" with ") || "machine unknown"),
].join(" · ");
/** What an answer rests on: its table, its notes. */
const grounds = ({ table, notes }) => [
  table && make("div", { class: "scroll", tabindex: 0 }, make("table", {},
    make("thead", {}, make("tr", {}, table.headers.map((head, at) => make("th", { class: table.left.includes(at) ? undefined : "number" }, head)))),
    make("tbody", {}, table.rows.map((row) => make("tr", {}, row.map((text, at) => make("td", { class: table.left.includes(at) ? undefined : "number" }, withCode(text)))))))),
  (notes ?? []).map((note) => make("p", {}, withCode(note))),
];
byId("tiles").append(...overview.tiles.map((tile) => {
  const head = [make("strong", {}, tile.title), make("span", {}, tile.conclusion ? withCode(tile.conclusion) : ["Not measured: ", make("code", {}, tile.command)])];
  return tile.table || tile.notes?.length ? make("details", { class: "tile" }, make("summary", {}, head), grounds(tile)) : make("div", { class: "tile" }, head);
}));
byId("answers").hidden = !overview.answers.length;
byId("answers").append(...overview.answers.flatMap((answer) => [make("h3", {}, answer.question), make("p", {}, withCode(answer.conclusion)), ...grounds(answer)]).flat(2).filter(Boolean));
for (const one of overview.views) {
  byId("views").append(make("button", { type: "button", value: one.name, click: () => { state.view = one.name; state.sort = state.columns = state.x = state.y = null; writeAddress(); showView(); } }, `${one.title} (${rowsOf(one).length.toLocaleString("en")})`));
}
readAddress();
showView();
showDetails();
})();
