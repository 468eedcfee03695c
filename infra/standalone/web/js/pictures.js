// Upload of pictures: scaled down here, sent to the server's upload URLs.

import { element, icon, picture, siteUrl } from './dom.js';
import { PageError, describe } from './errors.js';
import { t } from './i18n.js';

/** Pixels of the longer side: sharp on every screen that shows offers. */
const SIDE_MAX = 1_600;

const QUALITY = 0.85;

/** Pictures of an offer: the market's limit. */
const PICTURES_MAX = 10;

const UPLOAD_MAX_MS = 60_000;

/** Uploads files one after the other; their public addresses, and in `shown` by address what was drawn of them. */
export async function upload(api, files, shown = new Map()) {
  const made = [];
  for (const file of files) made.push(await shrink(file));
  const blobs = made.map(({ blob }) => blob);
  const places = await api.presign(blobs.map((_, index) => `picture-${index + 1}.jpg`));
  for (const [index, place] of places.entries()) {
    const signal = AbortSignal.timeout(UPLOAD_MAX_MS);
    const response = await fetch(siteUrl(place.url), { method: 'PUT', body: blobs[index], credentials: 'omit', signal });
    if (!response.ok) throw new PageError(t('pictureNotStored'));
  }
  return places.map(({ publicUrl }, index) => {
    shown.set(publicUrl, made[index].canvas);
    return publicUrl;
  });
}

/** A JPEG of the picture, no larger than needed, without what a camera notes in it (also where it was taken). */
async function shrink(file) {
  const image = await createImageBitmap(file).catch(() => null);
  if (!image) throw new PageError(t('pictureUnreadable', { name: file.name }));
  const scale = Math.min(1, SIDE_MAX / Math.max(image.width, image.height));
  const canvas = element('canvas', { width: Math.max(1, Math.round(image.width * scale)), height: Math.max(1, Math.round(image.height * scale)) });
  const context = canvas.getContext('2d');
  // JPEG has no transparency; transparent areas become white.
  context.fillStyle = '#fff';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  image.close();
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, 'image/jpeg', QUALITY));
  if (!blob) throw new PageError(t('pictureUnreadable', { name: file.name }));
  return { blob, canvas };
}

/** The pictures of an offer: shown, added, taken away, and moved to the front. */
export class PicturePicker {
  constructor(api, urls) {
    this.api = api;
    this.urls = [...urls];
    /** The upload in flight; a form is sent after it. */
    this.pending = Promise.resolve();
    /** The server shows an upload only once an offer uses it; until then what was drawn is shown. */
    this.drawn = new Map();
    this.list = element('ul', { class: 'picked' });
    this.problem = element('p', { class: 'field-problem', role: 'alert' });
    this.input = element('input', { type: 'file', id: 'spot-pictures', accept: 'image/*', multiple: true, class: 'hidden', onchange: () => { this.pending = this.add(); } });
    this.element = element(
      'fieldset',
      { class: 'field' },
      element('legend', {}, t('pictures')),
      this.list,
      element('p', { class: 'field-hint' }, t('picturesHint', { max: PICTURES_MAX })),
      this.problem,
    );
    this.render();
  }

  /** The addresses, once nothing is being uploaded; fails if an upload that was waited for did. */
  async finished() {
    const isAwaited = this.busy;
    await this.pending;
    const problem = this.problem.textContent;
    // What failed earlier the member has seen: the form goes without that picture.
    if (isAwaited && problem) throw new PageError(problem);
    return this.urls;
  }

  async add() {
    const files = [...this.input.files];
    this.input.value = '';
    this.problem.textContent = '';
    if (this.urls.length + files.length > PICTURES_MAX) {
      this.problem.textContent = t('picturesTooMany', { max: PICTURES_MAX });
      return;
    }
    this.busy = true;
    this.render();
    try {
      this.urls.push(...(await upload(this.api, files, this.drawn)));
    } catch (error) {
      this.problem.textContent = describe(error);
    } finally {
      this.busy = false;
      this.render();
    }
  }

  render() {
    const rows = this.urls.map((url, index) => this.row(url, index));
    if (this.busy) rows.push(element('li', { class: 'picked-one skeleton', role: 'status', 'aria-label': t('sending') }));
    else if (this.urls.length < PICTURES_MAX) rows.push(element('li', {}, this.button()));
    this.list.replaceChildren(...rows);
  }

  button() {
    return element('label', { class: 'picked-add' }, this.input, icon('camera'), element('span', {}, t('addPicture')));
  }

  preview(url, name) {
    const canvas = this.drawn.get(url);
    if (!canvas) return picture(url, name, 'picked-picture');
    canvas.className = 'picked-picture';
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', name);
    return canvas;
  }

  row(url, index) {
    const move = () => {
      this.urls.unshift(...this.urls.splice(index, 1));
      this.render();
    };
    const remove = () => {
      this.urls.splice(index, 1);
      this.render();
    };
    const nth = index + 1;
    return element(
      'li',
      { class: 'picked-one' },
      this.preview(url, t('pictureNth', { nth })),
      index === 0
        ? element('span', { class: 'tag picked-first' }, t('firstPicture'))
        : element('button', { type: 'button', class: 'picked-move', onclick: move, 'aria-label': t('makeFirst', { nth }) }, '1'),
      element('button', { type: 'button', class: 'picked-remove', onclick: remove, 'aria-label': t('removePicture', { nth }) }, icon('close')),
    );
  }
}
