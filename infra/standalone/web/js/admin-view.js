// View of the administrators' pages: the queue of reports, one report with its decision, and the audit log.

import { Admin, CLOSED, REPORT_STATES } from './admin.js';
import { decisionForm } from './decision-form.js';
import { confirm, note } from './dialog.js';
import { byId, element, icon } from './dom.js';
import { describe } from './errors.js';
import { t } from './i18n.js';
import { facts, listOf } from './money-parts.js';
import { adminHref, memberHref } from './route.js';
import { clockText, dateText, shortText } from './time.js';

const SUBJECTS = { MEMBER: 'member', PRODUCT: 'offer', REVIEW: 'review', CHAT: 'message' };

/** A member is blocked by itself once this many others who know them reported. */
const REPORTERS_MAX = 5;

const FORBIDDEN = 1003;

export class AdminView {
  /** `isAdmin()`: the server answered, so the member is an administrator. */
  constructor(api, { isAdmin }) {
    this.admin = new Admin(api);
    this.onAdmin = isAdmin;
    this.isAudit = false;
    this.admin.addEventListener('change', () => this.render());
  }

  show({ report, audit, choice }) {
    this.isAudit = Boolean(audit);
    if (audit) this.admin.showAudit();
    else this.admin.show(choice.state, report);
    this.render();
  }

  render() {
    const { admin } = this;
    const { reports } = admin;
    if (reports.first) this.onAdmin();
    const isOthers = reports.problem?.code === FORBIDDEN;
    byId('admin-only').hidden = !isOthers;
    byId('admin-panes').hidden = isOthers;
    if (isOthers) return;
    const tabs = Object.entries(REPORT_STATES).map(([state, text], nth) =>
      element('a', { class: 'filter', href: adminHref({ state: nth === 0 ? '' : state }), 'data-report-state': state, 'aria-current': String(!this.isAudit && state === admin.state) }, t(text)),
    );
    tabs.push(element('a', { class: 'filter', id: 'to-audit', href: '#/admin/audit', 'aria-current': String(this.isAudit) }, t('audit')));
    byId('admin-states').replaceChildren(...tabs);
    const list = byId('admin-reports');
    list.setAttribute('aria-busy', String(!reports.first && !reports.problem));
    list.replaceChildren(...listOf(reports, (row) => this.row(row), t(`noReports${admin.state}`)));
    this.renderDetail();
  }

  row(row) {
    const isShown = !this.isAudit && row.reportId === this.admin.reportId;
    return element(
      'li',
      {},
      element(
        'a',
        { class: 'mine-row', href: adminHref({ state: this.stateChoice() }, row.reportId), 'data-report-row': row.reportId, 'aria-current': isShown ? 'true' : null },
        element('span', { class: 'mine-icon' }, icon('flag')),
        element('span', { class: 'mine-texts' }, element('strong', {}, row.memberName), element('span', { class: 'tile-unit admin-reason' }, `${t(SUBJECTS[row.subject] ?? 'report')} · ${row.reason}`)),
        element('span', { class: 'mine-date' }, shortText(row.createdAt)),
      ),
    );
  }

  stateChoice() {
    return this.admin.state === 'OPEN' ? '' : this.admin.state;
  }

  renderDetail() {
    const pane = byId('admin-detail');
    const { report } = this.admin;
    const shown = this.isAudit ? 'audit' : JSON.stringify([this.admin.reportId, report, this.admin.isSearching]);
    // What is being filled in stays while the list is read.
    if (!this.isAudit && pane.shown === shown) return;
    pane.shown = shown;
    const back = element('a', { class: 'icon-button back', href: adminHref({ state: this.stateChoice() }), 'aria-label': t('toReports') }, icon('back'));
    const head = (title) => element('header', { class: 'pane-head' }, back, element('h2', { tabindex: -1 }, title));
    if (this.isAudit) {
      pane.replaceChildren(head(t('audit')), element('div', { class: 'offer-body' }, this.auditList()));
    } else if (this.admin.reportId == null) {
      pane.replaceChildren(element('div', { class: 'nothing' }, icon('flag'), element('p', {}, t('chooseReport'))));
    } else if (!report) {
      const text = this.admin.isSearching ? t('loading') : t('reportNotHere');
      pane.replaceChildren(head(t('report')), element('p', { class: 'offer-note', role: 'status' }, text));
    } else {
      pane.replaceChildren(head(t('reportNumber', { number: report.reportId })), element('div', { class: 'offer-body' }, ...this.reportParts(report)));
    }
  }

  reportParts(report) {
    const parts = [
      element(
        'section',
        { class: 'card', 'data-open-report': report.reportId },
        element('h3', {}, t(SUBJECTS[report.subject] ?? 'report')),
        element('blockquote', { class: 'quoted excerpt' }, report.excerpt || t('noExcerpt')),
        element('p', { class: 'report-reason' }, element('span', { class: 'field-hint' }, t('reportReason')), element('strong', {}, report.reason)),
      ),
      facts(this.facts(report)),
    ];
    if (report.memberBlocked) {
      parts.push(element('button', { type: 'button', class: 'button', id: 'admin-unblock', onclick: () => this.unblock(report) }, icon('check'), t('adminUnblock')));
    }
    if (report.state === 'OPEN') parts.push(decisionForm(report, { decide: (decision) => this.decide(report, decision) }));
    return parts;
  }

  facts(report) {
    const member = (id, name) => element('a', { href: memberHref(id) }, name ?? `#${id}`);
    const rows = [
      [t('reportedMember'), element('span', {}, member(report.memberId, report.memberName), report.memberBlocked ? ` · ${t('accountBlocked')}` : '')],
      [t('reportersCount'), t('reportersOf', { count: report.memberReports, max: REPORTERS_MAX })],
      [t('reporter'), element('span', {}, member(report.reporterId, report.reporterName), ` · ${t(report.known ? 'reporterKnows' : 'reporterKnowsNot')}`)],
      [t('reportedAt'), timeText(report.createdAt)],
      [t('reportedAs'), `${report.targetCategory} ${report.targetId}`],
      [t('reportSubject'), `${report.subject} ${report.subjectId}`],
    ];
    if (report.state !== 'OPEN') {
      rows.push([t('reportState'), t(REPORT_STATES[report.state])], [t('decidedAt'), timeText(report.decidedAt)], [t('decidedBy'), member(report.decidedBy)]);
      if (report.note) rows.push([t('decisionNote'), report.note]);
    }
    return rows;
  }

  async decide(report, decision) {
    const { block, remove } = decision;
    if (block || remove) {
      const text = [block ? t('decideBlockText') : '', remove ? t('decideRemoveText') : ''].filter(Boolean).join(' ');
      if (!(await confirm({ title: t('decideTitle'), text, yes: t('uphold') }))) return;
    }
    try {
      await this.admin.decide(report.reportId, decision);
      note(t('decided'));
    } catch (error) {
      // Somebody else was faster; anything else is shown in the form.
      if (error.code !== CLOSED) throw error;
      note(describe(error));
    }
    location.hash = adminHref({ state: this.stateChoice() });
  }

  async unblock({ memberId, memberName }) {
    const sure = await confirm({ title: t('adminUnblockTitle', { name: memberName }), text: t('adminUnblockText'), yes: t('adminUnblock'), look: 'main' });
    if (!sure) return;
    try {
      await this.admin.unblock(memberId);
      note(t('adminUnblocked'));
    } catch (error) {
      note(describe(error));
    }
  }

  auditList() {
    const row = ({ auditId, actorId, action, target, requestId, createdAt }) =>
      element(
        'li',
        { class: 'audit-row', 'data-audit': auditId },
        element('strong', {}, action),
        element('span', {}, target),
        element('span', { class: 'tile-unit' }, `${timeText(createdAt)} · ${actorId ? t('actorMember', { number: actorId }) : t('actorSystem')}`),
        requestId ? element('code', { class: 'tile-unit' }, requestId) : null,
      );
    return element('ul', { class: 'card audit-list', 'aria-label': t('audit') }, ...listOf(this.admin.audit, row, t('noAudit')));
  }
}

function timeText(wire) {
  return wire ? `${dateText(wire)} ${clockText(wire)}` : '–';
}
