'use strict';
// How figures are written, by their unit; and small helpers for elements.

function scaleOf(unit, values) {
  const top = Math.max(...values.map(Math.abs).filter(Number.isFinite), 0);
  switch (unit) {
    case 'bit/s':
      return top >= 1e9 ? {by: 1e-9, unit: 'Gbit/s'} : top >= 1e6 || top === 0 ? {by: 1e-6, unit: 'Mbit/s'} : {by: 1e-3, unit: 'kbit/s'};
    case 's':
      return top >= 1 ? {by: 1, unit: 's'} : {by: 1e3, unit: 'ms'};
    case 'share':
      return {by: 100, unit: '%'};
  }
  return {by: 1, unit: ''};
}

function digits(v) {
  const a = Math.abs(v);
  return v.toFixed(a >= 100 ? 0 : a >= 10 ? 1 : a >= 1 ? 2 : 3);
}

// figure writes a value with its unit: "66.1 Mbit/s".
function figure(v, unit) {
  if (v === null || v === undefined || !Number.isFinite(v)) return '–';
  const s = scaleOf(unit, [v]);
  return (unit === 'ratio' || unit === '' ? v.toFixed(3) : digits(v * s.by)) + (s.unit ? ' ' + s.unit : '');
}

// interval writes an estimate at length, for a tip.
function interval(e, metric) {
  let text = metric.title + ': ' + figure(e.median, metric.unit);
  if (e.n > 1) {
    text += `\n${figure(e.low, metric.unit)} to ${figure(e.high, metric.unit)} (${(e.level * 100).toFixed(1)} % interval of the median, ${e.n} runs)`;
  } else {
    text += '\none run';
  }
  return text;
}

// el makes an element; attributes that are functions are listeners.
function el(name, attributes, ...children) {
  const svg = ['svg', 'g', 'line', 'rect', 'circle', 'text', 'path'].includes(name);
  const e = svg ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (typeof value === 'function') e.addEventListener(key, value);
    else if (value !== null && value !== undefined && value !== false) e.setAttribute(key, value === true ? '' : value);
  }
  e.append(...children.flat().filter(c => c !== null && c !== undefined));
  return e;
}

const tip = document.getElementById('tip');

// tipped shows a text beside the pointer, or the focus, while it is on an element.
function tipped(e, text) {
  const show = (x, y) => {
    tip.textContent = text;
    tip.hidden = false;
    tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - tip.offsetWidth - 8)) + 'px';
    tip.style.top = Math.max(4, Math.min(y + 14, innerHeight - tip.offsetHeight - 8)) + 'px';
  };
  e.addEventListener('pointermove', ev => show(ev.clientX, ev.clientY));
  e.addEventListener('pointerleave', () => { tip.hidden = true; });
  return e;
}

// chips are buttons of which one is chosen.
function chips(labels, chosen, choose) {
  const box = el('div', {class: 'chips'});
  labels.forEach((label, i) => box.append(el('button', {
    type: 'button', 'aria-pressed': String(i === chosen),
    click: () => {
      [...box.children].forEach((b, n) => b.setAttribute('aria-pressed', String(n === i)));
      choose(i);
    },
  }, label)));
  return box;
}
