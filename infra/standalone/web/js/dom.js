// Creation of elements. Text only becomes text nodes: nothing in this page parses markup.

const SVG = 'http://www.w3.org/2000/svg';

const ICONS = {
  back: 'M15 5l-7 7 7 7',
  send: 'M12 19V6M6 11l6-6 6 6',
  down: 'M12 5v13M6 13l6 6 6-6',
  leave: 'M14 5H6v14h8M11 12h9M17 9l3 3-3 3',
  chat: 'M12 4c-5 0-9 3.300-9 7.500 0 2.300 1.200 4.300 3 5.700L5.500 21l4-2.200c.8.2 1.600.2 2.500.2 5 0 9-3.300 9-7.500S17 4 12 4z',
  market: 'M4 9l1.500-5h13L20 9M4 9v11h16V9M4 9c0 3 4 3 4 0 0 3 4 3 4 0 0 3 4 3 4 0 0 3 4 3 4 0',
  data: 'M8 20V5M4 9l4-4 4 4M16 4v15M12 15l4 4 4-4',
  wifi: 'M3 9.500c5-5 13-5 18 0M6.500 13c3-3 8-3 11 0M10 16.500c1.200-1.100 2.800-1.100 4 0M12 19.500v.010',
  tag: 'M4 4h8l8 8-8 8-8-8zM8.500 8.500v.010',
  plus: 'M12 5v14M5 12h14',
  check: 'M5 12.500l4.500 4.500L19 7.500',
  trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10.500 11v5M13.500 11v5',
  edit: 'M5 19l1-4L15.500 5.500l3 3L9 18z',
  pin: 'M12 21c4-4.500 6-7.700 6-10.500a6 6 0 0 0-12 0C6 13.300 8 16.500 12 21zM12 12.500a2 2 0 1 0 0-4 2 2 0 0 0 0 4z',
  clock: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7.500V12l3 2',
  globe: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM3.500 9.500h17M3.500 14.500h17M12 3c2.500 2.600 3.700 5.600 3.700 9s-1.200 6.400-3.700 9c-2.500-2.600-3.700-5.600-3.700-9S9.500 5.600 12 3z',
  next: 'M9 5l7 7-7 7',
  close: 'M6 6l12 12M18 6L6 18',
  camera: 'M4 8h3.500L9 5.500h6L16.500 8H20v11H4zM12 16.500a3.300 3.300 0 1 0 0-6.600 3.300 3.300 0 0 0 0 6.600z',
  minus: 'M5 12h14',
  cash: 'M4 7h16v12H4zM4 7l11-3v3M15.500 13h1',
  list: 'M6 4h12v16l-3-2-3 2-3-2-3 2zM9.500 8.500h5M9.500 12.500h5',
  mix: 'M4 6h6v5H4zM14 4h6v7h-6zM4 14h9v6H4zM17 15h3v5h-3z',
  hotspot: 'M12 14v6M12 12.500a1.500 1.500 0 1 0 0-3 1.500 1.500 0 0 0 0 3zM7.500 15.500c-2.500-2.500-2.500-6.500 0-9M16.500 6.500c2.500 2.500 2.500 6.500 0 9',
  bell: 'M6 17h12l-1.500-2.500V10a4.500 4.500 0 0 0-9 0v4.500zM10.200 20h3.600M12 5.500V4',
  muted: 'M6 17h12l-1.500-2.500V10a4.500 4.500 0 0 0-9 0v4.500zM10.200 20h3.600M12 5.500V4M4 4l16 16',
  flag: 'M6 21V4h12l-2.500 4.500L18 13H6',
  ban: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM5.700 5.700l12.600 12.600',
  star: 'M12 4l2.500 5.200 5.700.7-4.200 3.900 1.100 5.700L12 16.700l-5.100 2.800L8 13.800 3.800 9.900l5.700-.7z',
  shield: 'M12 3l7 2.500V11c0 4.500-3 8-7 10-4-2-7-5.500-7-10V5.500zM9 12l2.200 2.200L15.300 10',
  people: 'M9 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM3 19c0-3 2.700-5 6-5s6 2 6 5M16 5.300a3 3 0 0 1 0 5.400M18 14.500c1.900.8 3 2.400 3 4.500',
};

/** An element with attributes (`on…`: listeners; false and null: none) and children. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, '');
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null && child !== false));
  return made;
}

/** A line drawing of 24 by 24, in the colour of the text around it. */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

export function byId(id) {
  return document.getElementById(id);
}

/** A member's picture, or the first character of the name on a colour. */
export function avatar(name, size = '', imageUrl = null) {
  const colour = [...(name ?? '')].reduce((sum, letter) => (sum * 57 + letter.codePointAt(0)) % 9_973, 15) % 8;
  const first = [...(name || '?')][0];
  const letter = element('span', { class: `avatar colour-${colour} ${size}`, 'aria-hidden': 'true' }, first);
  if (imageUrl) letter.append(picture(imageUrl, '', 'avatar-picture'));
  return letter;
}

/** A picture that a member uploaded; if it cannot be loaded, the element behind it is visible. */
export function picture(url, alt, className = '') {
  const image = element('img', { src: siteUrl(url), alt, class: className, loading: 'lazy', decoding: 'async' });
  image.addEventListener('error', () => image.remove());
  return image;
}

const PICTURES = '/api/images/files/';

/** Pictures in the server's own folder are of this origin, by whatever name of the host the page was opened. */
export function siteUrl(url) {
  const { pathname, search } = new URL(url, location.href);
  return pathname.startsWith(PICTURES) ? pathname + search : url;
}

/** Placeholder of the same size while content is loading. */
export function skeletons(count, className) {
  return Array.from({ length: count }, () => element('li', { class: `skeleton ${className}`, 'aria-hidden': 'true' }));
}

/** The picture of a group. */
export function groupAvatar(size = '') {
  return element('span', { class: `avatar group ${size}`, 'aria-hidden': 'true' }, icon('people'));
}

/**
 * Brings `parent` to these rows with as few changes as possible. A row is `{key, version, make}`;
 * its element is kept as long as key and version stay.
 */
export function reconcile(parent, rows) {
  const known = parent.known ?? new Map();
  const next = new Map();
  for (const { key, version, make } of rows) {
    const before = known.get(key);
    next.set(key, before?.version === version ? before : { version, node: make() });
  }
  const kept = new Set([...next.values()].map((row) => row.node));
  for (const node of [...parent.childNodes]) if (!kept.has(node)) node.remove();
  let place = parent.firstChild;
  for (const node of kept) {
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
  parent.known = next;
}
