// The page of a report. Everything that comes from results is put into the document as text, never as HTML.
(() => {
"use strict";

const overview = JSON.parse(document.getElementById("overview").textContent);
const views = new Map(overview.views.map((view) => [view.name, view]));
const facets = overview.facets;
const MISSING = "–";
const MOST_CURVES = 60;
const CURVES = { val_accuracy: "validation accuracy", val_loss: "validation loss", accuracy: "training accuracy", loss: "training loss" };

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

const WRITTEN = {
  text: String,
  count: (value) => value.toLocaleString("en"),
  percent: (value) => (100 * value).toFixed(2),
  seconds: figure,
  bytes: (value) => figure(value / 1e6),
  number: figure,
};
const UNITS = { percent: "%", seconds: "s", bytes: "MB" };

const isNumber = (column) => column.kind !== "text";
const heading = (column) => (UNITS[column.kind] ? `${column.title}, ${UNITS[column.kind]}` : column.title);
const written = (column, value) => {
  if (value === undefined) return MISSING;
  return typeof value === "string" ? value : WRITTEN[column.kind](value);
};
const className = (value) => (typeof value === "string" && /^[a-z -]+$/.test(value) ? value.replaceAll(" ", "-") : "");

function cellNode(column, value) {
  const marked = ["status", "verdict", "twins"].includes(column.field) ? className(value) : "";
  return make("span", { class: value === undefined ? "missing" : marked }, written(column, value));
}

// --- state: what the address keeps -----------------------------------------------------------------------------

const state = { view: overview.views[0].name, q: "", chosen: {}, sort: null, columns: null, x: null, y: null, curve: null, open: null };

function readAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const view = parts.get("view");
  state.view = views.has(view) ? view : overview.views[0].name;
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
const columnOf = (field) => view().columns.find((column) => column.field === field);

function haystack(row) {
  row.$text ??= view().columns.map((column) => written(column, row[column.field])).join("\n").toLowerCase();
  return row.$text;
}

function matches(row) {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = Object.entries(state.chosen);
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
    for (const row of view().rows) if (row[facet] !== undefined) counts.set(row[facet], (counts.get(row[facet]) ?? 0) + 1);
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
  byId("columns").replaceChildren(...menu("Columns", view().columns.map((column) => [column.field, column.title]), (field) => shown.has(field), choose));
}

const visibleColumns = () => new Set(state.columns ?? view().columns.filter((column) => column.shown).map((column) => column.field));

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
    formatter: (cell) => cellNode(column, cell.getValue()),
    titleFormatter: () => make("span", {}, heading(column)),
    maxInitialWidth: column.field === "numerics" ? 130 : 420,
  }));
  const table = new Tabulator(place, {
    data: view().rows,
    columns,
    index: "id",
    layout: "fitData",
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
  const all = view().rows.length;
  byId("count").textContent = rows.length === all ? `${all.toLocaleString("en")} rows` : `${rows.length.toLocaleString("en")} of ${all.toLocaleString("en")} rows`;
  if (current && !rows.includes(current.getData())) setCurrent(null);
  redraw();
}

function showView() {
  for (const place of byId("tables").children) place.hidden = place.dataset.view !== state.view;
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
  const numbers = view().columns.filter((column) => isNumber(column) && !["seed", "repeat", "n"].includes(column.field));
  const option = (column) => make("option", { value: column.field }, heading(column));
  byId("y").replaceChildren(...numbers.map(option));
  byId("x").replaceChildren(option(columnOf("case")), ...numbers.map(option));
  byId("curve").replaceChildren(...Object.entries(CURVES).map(([value, text]) => make("option", { value }, text)));
  const pick = (id, wanted, otherwise) => {
    byId(id).value = columnOf(wanted) || id === "curve" ? wanted : otherwise;
    if (!byId(id).value) byId(id).selectedIndex = 0;
  };
  pick("y", state.y ?? "accuracy", "epoch");
  pick("x", state.x ?? (byId("y").value === "epoch" ? "case" : "epoch"), "case");
  pick("curve", state.curve ?? "val_accuracy");
}

const LOG_TICKS = { callback: (value) => (/^[125]e/.test(value.toExponential()) ? value.toLocaleString("en", { maximumSignificantDigits: 1 }) : ""), maxRotation: 0 };
const scale = (column, value) => (column.kind === "percent" ? 100 * value : column.kind === "bytes" ? value / 1e6 : value);

function drawScatter() {
  const [x, y] = [columnOf(byId("x").value), columnOf(byId("y").value)];
  const both = shownRows.filter((row) => typeof row[y.field] === "number" && (x.field === "case" ? row.case : typeof row[x.field] === "number"));
  const groups = groupBy(both, seriesOf);
  const datasets = [...groups.keys()].sort().map((name) => {
    const rows = groups.get(name);
    const colour = colourOf(rows[0].backend);
    return {
      label: name,
      data: rows.map((row) => ({ x: x.field === "case" ? row.case : scale(x, row[x.field]), y: scale(y, row[y.field]), row })),
      backgroundColor: colour,
      borderColor: colour,
      pointStyle: POINTS[rows[0].kernel][0],
      radius: POINTS[rows[0].kernel][1],
      hoverRadius: 7,
    };
  });
  const values = both.map((row) => row[x.field]);
  const wide = x.kind !== "text" && x.kind !== "percent" && Math.min(...values) > 0 && Math.max(...values) > 20 * Math.min(...values);
  const labels = x.field === "case" ? [...new Set(both.map((row) => row.case))] : undefined;
  byId("scatter").setAttribute("aria-label", `${y.title} against ${x.title}: ${both.length} points; the table holds their values`);
  draw(byId("scatter"), {
    type: "scatter",
    data: { labels, datasets },
    options: {
      animation: false,
      maintainAspectRatio: false,
      scales: {
        x: axis(heading(x), labels ? { type: "category", ticks: { autoSkip: false, maxRotation: 70 } } : wide ? { type: "logarithmic", ticks: LOG_TICKS } : {}),
        y: axis(heading(y)),
      },
      plugins: {
        legend: { position: "bottom", labels: { usePointStyle: true, boxHeight: 8 } },
        tooltip: { callbacks: { label: ({ raw }) => [raw.row.id, `${heading(y)}: ${written(y, raw.row[y.field])}`, `${heading(x)}: ${written(x, raw.row[x.field])}`] } },
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

const recordsOf = (row) => (state.view === "cells" ? [row.id] : cellsOf(row).map((cell) => cell.id));
const cellsOf = (configuration) => views.get("cells").rows.filter((cell) => ["suite", "case", "backend", "kernel", "device", "numerics"].every((name) => cell[name] === configuration[name]));

function curveOf(id, field) {
  const record = details().records[id];
  return { record, values: record.metrics?.epochs?.[field]?.map((value) => (typeof value === "number" ? value : null)) };
}

function curvesChart(canvas, lines, field, legend) {
  const percent = field.endsWith("accuracy");
  draw(canvas, {
    type: "line",
    data: {
      labels: Array.from({ length: Math.max(0, ...lines.map((line) => line.values.length)) }, (_, epoch) => epoch + 1),
      datasets: lines.map((line) => ({
        label: line.label,
        data: line.values.map((value) => (percent && value !== null ? 100 * value : value)),
        borderColor: line.colour,
        backgroundColor: line.colour,
        borderDash: line.dash ? [5, 4] : [],
        borderWidth: 1.5,
        pointRadius: 2,
      })),
    },
    options: {
      animation: false,
      maintainAspectRatio: false,
      interaction: { mode: "nearest", intersect: false },
      scales: { x: axis("epoch", { ticks: { maxRotation: 0, autoSkipPadding: 12 } }), y: axis(`${legend ? "accuracy" : CURVES[field]}${percent ? ", %" : ""}`) },
      plugins: { legend: { display: legend, position: "bottom", labels: { usePointStyle: true, pointStyle: "line" } } },
    },
  }, lines.length ? "" : `No cell in the table has a ${CURVES[field]} by epoch.`);
}

function curvesOf(ids, field) {
  const lines = ids.map((id) => ({ id, ...curveOf(id, field) })).filter(({ values }) => values?.some((value) => value !== null));
  return lines.map(({ id, record, values }) => ({ label: id, values, colour: colourOf(record.backend), dash: record.kernel === "generic" }));
}

/** Draw the chosen curves, else the first kind that a cell in the table has. */
function drawCurves() {
  const ids = shownRows.flatMap(recordsOf);
  const field = state.curve ?? Object.keys(CURVES).find((one) => curvesOf(ids, one).length) ?? byId("curve").value;
  byId("curve").value = field;
  const found = curvesOf(ids, field);
  const lines = found.slice(0, MOST_CURVES);
  const dashed = lines.some((line) => line.dash) && lines.some((line) => !line.dash) ? "; dashed: generic kernel" : "";
  byId("curves-shown").textContent = found.length > MOST_CURVES ? `the first ${MOST_CURVES} of ${found.length} cells; filter for others` : `${found.length.toLocaleString("en")} cells${dashed}`;
  byId("curves").setAttribute("aria-label", `${CURVES[field]} by epoch of ${lines.length} cells; the details of a cell hold its values`);
  curvesChart(byId("curves"), lines, field, false);
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
  const configuration = views.get("configurations").rows.find((row) => row.id === state.open);
  if (!record && !configuration) {
    state.open = null;
    if (dialog.open) dialog.close();
    return;
  }
  dialog.replaceChildren(...(record ? cellDetails(record) : configurationDetails(configuration)));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  if (record) drawOwnCurve(dialog, record);
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

function cellDetails(record) {
  const row = views.get("cells").rows.find((one) => one.id === state.open);
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
    ...section("Scores", scoreTable(scores)),
    ...section("Learning curve", epochs && Object.keys(epochs).length ? make("div", { class: "canvas" }, make("canvas", { role: "img", "aria-label": "Accuracy by epoch; the table below holds the values" })) : undefined),
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

function drawOwnCurve(dialog, record) {
  const canvas = dialog.querySelector("canvas");
  if (!canvas) return;
  const [first, second] = colours();
  const line = (field, label, colour) => ({ label, values: (record.metrics.epochs[field] ?? []).map((value) => (typeof value === "number" ? value : null)), colour });
  curvesChart(canvas, [line("accuracy", CURVES.accuracy, first), line("val_accuracy", CURVES.val_accuracy, second)].filter((one) => one.values.length), "accuracy", true);
}

function configurationDetails(configuration) {
  const columns = views.get("configurations").columns;
  const shown = Object.fromEntries(columns.map((column) => [heading(column), written(column, configuration[column.field])]));
  const cells = cellsOf(configuration).map((cell) =>
    make("li", {}, make("button", { type: "button", click: () => open(cell.id) }, cell.id), " ", make("span", { class: className(cell.status) }, cell.status)));
  return [
    detailsHead(configuration.id, configuration.status),
    ...section("Configuration", shown),
    ...section("Case", details().cases[`${configuration.suite}/${configuration.case}`]),
    ...section("Cells", cells.length ? make("ul", { class: "plain" }, cells) : undefined),
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
  const line = (row) => make("tr", {}, shown.map((column) => make("td", { class: cellClass(column) }, written(column, row[column.field]))));
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
byId("details").addEventListener("close", () => { state.open = null; writeAddress(); });
byId("details").addEventListener("click", (event) => { if (event.target === event.currentTarget) event.currentTarget.close(); });
addEventListener("hashchange", () => { readAddress(); showView(); showDetails(); });
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
byId("answers").append(make("div", { class: "answers", tabindex: 0, role: "region", "aria-label": "In short" }, overview.answers.map((answer) => [
  make("h3", {}, answer.question),
  make("ul", {}, answer.findings.map(([lead, text]) => make("li", {}, make("strong", {}, withCode(lead)), text && [": ", ...withCode(text)]))),
])));
byId("answers").open = innerWidth > 700;
for (const one of overview.views) {
  byId("views").append(make("button", { type: "button", value: one.name, click: () => { state.view = one.name; state.sort = state.columns = state.x = state.y = null; writeAddress(); showView(); } }, `${one.title} (${one.rows.length.toLocaleString("en")})`));
}
readAddress();
showView();
showDetails();
})();
