// Draws the charts that plot_page.cpp chose. All text goes in as textContent: nothing in the data is taken for HTML.
'use strict';

const data = JSON.parse(document.getElementById('data').textContent);
const root = document.documentElement;
const tooltip = document.getElementById('tooltip');
const kManySeries = 8;  // from here on layers are coloured by depth, and the legend is a ramp
const kTooltipRows = 8;
const kRamp = [[47, 93, 214], [14, 143, 163], [58, 158, 80], [232, 145, 25], [208, 62, 110]];
const kHeight = 240;
let smoothing = 0;

function element(name, attributes = {}, text = undefined) {
  const svg = ['svg', 'g', 'path', 'line', 'text', 'circle', 'rect'].includes(name);
  const made = svg ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Numbers

function trimmed(text) {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

/// Fewest digits behind the point that write all of `values` apart and true.
function digitsFor(values) {
  const largest = Math.max(...values.map(Math.abs));
  const exact = digits => values.every(value => Math.abs(value - Number(value.toFixed(digits))) <= largest * 1e-6);
  return [0, 1, 2, 3, 4, 5].find(exact) ?? 6;
}

/// The labels of an axis, all in one unit.
function tickTexts(ticks, format) {
  const largest = Math.max(...ticks.map(Math.abs));
  let [unit, suffix] = [1, ''];
  if (format === 'percent') {
    [unit, suffix] = [0.01, ' %'];
  } else if (largest >= 1e4 && largest < 1e9) {
    [unit, suffix] = largest >= 1e6 ? [1e6, ' M'] : [1e3, ' k'];
  } else if (largest >= 1e9 || (largest > 0 && largest < 0.01)) {
    const power = Math.floor(Math.log10(largest) + 1e-9);
    [unit, suffix] = [10 ** power, `e${power}`];
  }
  const scaled = ticks.map(tick => tick / unit);
  const digits = digitsFor(scaled);
  return scaled.map(value => value === 0 && format !== 'percent' ? '0' : value.toFixed(digits) + suffix);
}
/// On a logarithmic axis neighbours differ too much for one unit.
function logTickText(tick) {
  const size = Math.abs(tick);
  if (size < 1e-3 || size >= 1e6) return tick.toExponential(1).replace('.0e', 'e').replace('e+', 'e');
  return size >= 1e4 ? `${trimmed((tick / 1e3).toFixed(1))} k` : trimmed(tick.toPrecision(3));
}
function valueText(value, format) {
  if (format === 'percent') return trimmed((value * 100).toFixed(value !== 0 && Math.abs(value) < 0.01 ? 4 : 2)) + ' %';
  if (Number.isInteger(value)) return value.toLocaleString('en');
  if (value !== 0 && Math.abs(value) < 1e-3) return value.toExponential(3);
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString('en') : trimmed(value.toPrecision(5));
}

function niceStep(span, count) {
  const rough = span / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 2.5, 5].find(factor => factor * power >= rough * 0.999) ?? 10);
}
function linearTicks(low, high, count, whole) {
  let step = niceStep(high - low, count);
  if (whole) step = Math.max(1, Math.round(step));
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) ticks.push(i * step);
  return ticks;
}
function logTicks(low, high) {
  const ticks = [];
  const decades = Math.log10(high / low);
  const factors = decades > 3 ? [1] : decades > 1 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); ++power) {
    for (const factor of factors) {
      const tick = factor * 10 ** power;
      if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
    }
  }
  return ticks.length >= 2 ? ticks : linearTicks(low, high, 4, false).filter(tick => tick > 0);
}

/// Exponential mean with its start corrected, as TensorBoard's.
function smoothed(values) {
  let mean = 0;
  let weight = 1;
  return values.map(value => {
    mean = mean * smoothing + value * (1 - smoothing);
    weight *= smoothing;
    return mean / (1 - weight);
  });
}

// Colours

function rampColour(share) {
  const at = Math.min(share, 0.9999) * (kRamp.length - 1);
  const [from, to] = [kRamp[Math.floor(at)], kRamp[Math.floor(at) + 1]];
  return `rgb(${from.map((part, i) => Math.round(part + (to[i] - part) * (at % 1))).join(' ')})`;
}
function assignColours(series) {
  const layers = series.filter(one => one.role === 'layer');
  layers.forEach((one, i) => {
    one.colour = layers.length > kManySeries ? rampColour(i / (layers.length - 1)) : `var(--c${i % 8})`;
  });
  series.filter(one => one.role !== 'layer').forEach((one, i) => {
    one.colour = {all: 'var(--text)', train: 'var(--c0)', eval: 'var(--c1)'}[one.role] ?? `var(--c${i % 8})`;
  });
  return layers;
}

// A chart

class Chart {
  constructor(spec, parent) {
    this.spec = spec;
    this.series = spec.series.map(one => ({...one, steps: one.points[0], values: one.points[1], on: true}));
    const layers = assignColours(this.series);
    this.many = layers.length > kManySeries;
    const card = element('div', {class: 'chart'});
    const head = element('div', {class: 'head'});
    head.append(element('h3', {}, spec.title));
    this.canLog = this.series.every(one => one.values.every(value => value > 0));
    if (this.canLog && spec.format === 'number') head.append(this.logButton());
    this.svg = element('svg', {role: 'img', 'aria-label': spec.title});
    card.append(head, this.legend(layers), this.svg);
    parent.append(card);
    this.svg.addEventListener('pointermove', event => this.hover(event));
    this.svg.addEventListener('pointerleave', () => this.leave());
    new ResizeObserver(() => this.draw()).observe(this.svg);
  }

  logButton() {
    const button = element('button', {type: 'button', 'aria-pressed': 'false', title: 'logarithmic axis'}, 'log');
    button.addEventListener('click', () => {
      this.log = !this.log;
      button.setAttribute('aria-pressed', String(this.log));
      this.draw();
    });
    return button;
  }

  legend(layers) {
    const legend = element('div', {class: 'legend'});
    for (const one of this.series) {
      if (this.many && one.role === 'layer') continue;
      const entry = element('button', {type: 'button', class: 'entry', title: 'show or hide'});
      const swatch = element('span', {class: 'swatch'});
      swatch.style.background = one.colour;
      entry.append(swatch, element('span', {}, one.name));
      entry.addEventListener('click', () => {
        one.on = !one.on;
        entry.classList.toggle('off', !one.on);
        this.draw();
      });
      legend.append(entry);
    }
    if (this.many) {
      const ramp = element('span', {class: 'ramp'});
      ramp.style.background = `linear-gradient(90deg, ${kRamp.map(part => `rgb(${part.join(' ')})`).join(', ')})`;
      const entry = element('span', {class: 'entry'});
      entry.append(ramp, element('span', {}, `${layers.length} layers, first to last; point at one`));
      legend.append(entry);
    }
    return legend;
  }

  shown() {
    return this.series.filter(one => one.on && one.steps.length > 0);
  }

  /// Sets this.x and this.y, value to pixel, and draws the axes.
  drawAxes(shown) {
    const {format, fromZero} = this.spec;
    let [low, high, first, last] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const one of shown) {
      for (const value of one.values) [low, high] = [Math.min(low, value), Math.max(high, value)];
      [first, last] = [Math.min(first, one.steps[0]), Math.max(last, one.steps.at(-1))];
    }
    if (first === last) [first, last] = [first - 1, last + 1];
    const log = this.log && low > 0;
    if (!log && fromZero && low >= 0) low = 0;
    const whole = format === 'number' && shown.every(one => one.values.every(Number.isInteger));
    if (high - low <= Math.abs(high) * 1e-9) {  // a constant
      const around = whole ? 1 : Math.abs(high) * 0.1 || 1;
      [low, high] = [low === 0 ? 0 : low - around, high + around];
    }
    const room = (high - low) * 0.05;
    if (log) {
      [low, high] = [low * 0.95, high * 1.05];
    } else {
      high += room;
      if (low !== 0) low = low > 0 ? Math.max(low - room, 0) : low - room;
      if (format === 'percent') high = Math.min(high, Math.max(1, high - room));
    }
    const ticks = log ? logTicks(low, high) : linearTicks(low, high, 6, whole);
    const labels = log ? ticks.map(logTickText) : tickTexts(ticks, format);
    const left = 12 + 6.4 * Math.max(...labels.map(label => label.length));
    this.box = {left, right: this.width - 14, top: 8, bottom: kHeight - 36};
    const {right, top, bottom} = this.box;
    const up = log ? Math.log : value => value;
    this.x = step => left + (step - first) / (last - first) * (right - left);
    this.y = value => bottom - (up(value) - up(low)) / (up(high) - up(low)) * (bottom - top);
    ticks.forEach((tick, i) => {
      const y = this.y(tick);
      this.svg.append(element('line', {class: 'grid', x1: left, x2: right, y1: y, y2: y}));
      this.svg.append(element('text', {x: left - 6, y: y + 4, 'text-anchor': 'end'}, labels[i]));
    });
    const steps = linearTicks(first, last, (right - left) / 75, true);
    const stepLabels = tickTexts(steps, 'number');
    steps.forEach((tick, i) => {
      const x = this.x(tick);
      this.svg.append(element('line', {class: 'axis', x1: x, x2: x, y1: bottom, y2: bottom + 4}));
      this.svg.append(element('text', {x, y: bottom + 16, 'text-anchor': 'middle'}, stepLabels[i]));
    });
    this.svg.append(element('line', {class: 'axis', x1: left, x2: right, y1: bottom, y2: bottom}));
    this.svg.append(element('text', {x: (left + right) / 2, y: bottom + 31, 'text-anchor': 'middle'}, 'step'));
  }

  path(one, values, kind) {
    const points = values.map((value, i) => `${this.x(one.steps[i]).toFixed(1)} ${this.y(value).toFixed(1)}`);
    const path = element('path', {class: `curve ${kind}`, d: 'M' + points.join('L')});
    path.style.stroke = one.colour;
    this.svg.append(path);
    return path;
  }

  draw() {
    this.width = this.svg.clientWidth;
    this.svg.replaceChildren();
    this.marks = undefined;
    const shown = this.shown();
    if (this.width < 100 || shown.length === 0) return;
    this.drawAxes(shown);
    // The sum over all layers is drawn last, so that it lies on top.
    for (const one of [...shown].sort((a, b) => (a.role === 'all') - (b.role === 'all'))) {
      const smooth = this.spec.smooth && smoothing > 0 && one.role === 'train';
      one.drawn = smooth ? smoothed(one.values) : one.values;
      if (smooth) this.path(one, one.values, 'raw');
      one.path = this.path(one, one.drawn, one.role === 'all' ? 'thick' : this.many ? 'thin' : '');
      const dots = one.steps.length === 1 || (one.role === 'eval' && one.steps.length <= 50);
      if (dots) one.drawn.forEach((value, i) => this.dot(this.svg, one, one.steps[i], value, 2.5));
    }
    this.marks = element('g');
    this.svg.append(this.marks);
  }

  dot(parent, one, step, value, r) {
    const dot = element('circle', {cx: this.x(step), cy: this.y(value), r});
    dot.style.fill = one.colour;
    parent.append(dot);
  }

  hover(event) {
    const shown = this.shown();
    if (this.marks === undefined) return;
    const bounds = this.svg.getBoundingClientRect();
    const [x, y] = [event.clientX - bounds.left, event.clientY - bounds.top];
    let rows = shown.map(one => {
      const at = nearest(one.steps, step => this.x(step), x);
      return {one, step: one.steps[at], value: one.values[at], drawn: one.drawn[at]};
    });
    const step = rows.reduce((a, b) => Math.abs(this.x(a.step) - x) <= Math.abs(this.x(b.step) - x) ? a : b).step;
    rows.forEach(row => row.distance = Math.abs(this.y(row.drawn) - y));
    const closest = rows.reduce((a, b) => a.distance <= b.distance ? a : b);
    const left = rows.length - kTooltipRows;
    const rank = row => row.one.role === 'all' ? -1 : row.distance;
    if (left > 0) rows = [...rows].sort((a, b) => rank(a) - rank(b)).slice(0, kTooltipRows);
    if (this.spec.series[0].role !== 'train') rows.sort((a, b) => b.value - a.value);
    this.marks.replaceChildren();
    const {top, bottom} = this.box;
    this.marks.append(element('line', {class: 'cross', x1: this.x(step), x2: this.x(step), y1: top, y2: bottom}));
    for (const row of this.many ? [closest] : rows) this.dot(this.marks, row.one, row.step, row.drawn, 3.5);
    for (const one of this.many ? shown : []) {
      one.path.classList.toggle('near', one === closest.one);
      one.path.classList.toggle('dim', one !== closest.one && one.role !== 'all');
    }
    this.showTooltip(event, step, rows, closest, Math.max(left, 0));
  }

  showTooltip(event, step, rows, closest, left) {
    tooltip.replaceChildren(element('b', {}, `step ${step.toLocaleString('en')}`));
    for (const {one, step: own, value, drawn} of rows) {
      const row = element('div', {class: 'row'});
      const swatch = element('span', {class: 'swatch'});
      swatch.style.background = one.colour;
      const name = element('span', {class: 'name'}, own === step ? one.name : `${one.name}, step ${own.toLocaleString('en')}`);
      if (this.many && one === closest.one) name.style.fontWeight = '600';
      const both = drawn === value ? '' : ` (smoothed ${valueText(drawn, this.spec.format)})`;
      row.append(swatch, name, element('span', {class: 'value'}, valueText(value, this.spec.format) + both));
      tooltip.append(row);
    }
    if (left > 0) tooltip.append(element('span', {class: 'more'}, `and ${left} more`));
    tooltip.hidden = false;
    const {width, height} = tooltip.getBoundingClientRect();
    const beside = event.clientX + 16 + width < innerWidth ? event.clientX + 16 : event.clientX - 16 - width;
    tooltip.style.left = `${Math.max(4, beside)}px`;
    tooltip.style.top = `${Math.max(4, Math.min(event.clientY - height / 2, innerHeight - height - 4))}px`;
  }

  leave() {
    tooltip.hidden = true;
    this.marks?.replaceChildren();
    for (const one of this.shown()) one.path?.classList.remove('dim', 'near');
  }
}

/// Index of the element of the rising list whose pixel is nearest to `target`.
function nearest(list, pixel, target) {
  let [low, high] = [0, list.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (pixel(list[middle]) < target) low = middle; else high = middle;
  }
  return Math.abs(pixel(list[low]) - target) <= Math.abs(pixel(list[high]) - target) ? low : high;
}

// The page

function addSection(id, specs) {
  const section = document.getElementById(id);
  section.hidden = specs.length === 0;
  return specs.map(spec => new Chart(spec, section.querySelector('.charts')));
}

function addSamples() {
  const section = document.getElementById('samples');
  section.hidden = data.samples.length === 0;
  [...data.samples].reverse().forEach((sample, i) => {
    const details = element('details');
    details.open = i === 0;
    details.append(element('summary', {}, `step ${sample.step.toLocaleString('en')}`), element('pre', {}, sample.text));
    section.append(details);
  });
}

function setTheme(theme) {
  root.dataset.theme = theme;
  document.getElementById('theme').textContent = theme === 'dark' ? 'Light' : 'Dark';
}

document.getElementById('title').textContent = data.title;
for (const note of data.notes) document.getElementById('notes').append(element('p', {class: 'note'}, note));
for (const {label, value, step} of data.summary) {
  const tile = element('div', {class: 'tile'});
  const place = step === undefined ? '' : `, step ${step.toLocaleString('en')}`;
  tile.append(element('b', {}, value.toLocaleString('en')), element('span', {}, label + place));
  document.getElementById('summary').append(tile);
}
setTheme(matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
document.getElementById('theme').addEventListener('click', () => setTheme(root.dataset.theme === 'dark' ? 'light' : 'dark'));
const charts = [...addSection('metrics', data.metrics), ...addSection('telemetry', data.telemetry)];
addSamples();
const slider = document.getElementById('smoothing');
slider.addEventListener('input', () => {
  smoothing = Number(slider.value);
  document.getElementById('smoothing-value').textContent = smoothing === 0 ? 'off' : slider.value;
  charts.filter(chart => chart.spec.smooth).forEach(chart => chart.draw());
});
