// State of the administrators' pages: reports by their state, one of them open, and the audit log. The server answers
// administrators only. Views are notified by `change` events.

import { pageOf } from './api.js';
import { History } from './trades.js';

const PAGE = 20;

/** A report that the address names is searched for on this many pages. */
const SEARCH_PAGES_MAX = 10;

/** Decided by somebody else meanwhile. */
export const CLOSED = 7004;

/** States of reports with their texts; the first is the default. */
export const REPORT_STATES = { OPEN: 'reportsOpen', UPHELD: 'reportsUpheld', DISMISSED: 'reportsDismissed' };

export class Admin extends EventTarget {
  constructor(api) {
    super();
    this.api = api;
    this.state = 'OPEN';
    this.reports = new History((cursor) => api.rowsOf(`/api/admin/reports?state=${this.state}&${pageOf(PAGE, cursor)}`), () => this.changed('reports'));
    this.audit = new History((cursor) => api.rowsOf(`/api/admin/audit?${pageOf(PAGE, cursor)}`), () => this.changed('audit'));
    /** The id of the open report. */
    this.reportId = null;
  }

  get report() {
    return this.reports.rows.find((row) => row.reportId === this.reportId) ?? null;
  }

  /** Whether the open report is still searched for. */
  get isSearching() {
    return !this.report && !this.reports.problem && (!this.reports.first || this.reports.loading != null);
  }

  /** Shows this list, and this report of it. Reads both anew where another one was shown. */
  async show(state, reportId) {
    const wanted = Object.hasOwn(REPORT_STATES, state ?? '') ? state : 'OPEN';
    const isSame = wanted === this.state && this.reports.first && reportId != null && this.reportId != null;
    this.state = wanted;
    this.reportId = reportId;
    if (isSame) this.changed('reports');
    else this.reports.reload();
    await this.find();
  }

  async find() {
    const { reportId, reports } = this;
    for (let pages = 0; pages < SEARCH_PAGES_MAX && reportId != null && reportId === this.reportId && !this.report; pages += 1) {
      if (reports.problem || (reports.first && reports.next == null)) break;
      await reports.more();
    }
    this.changed('reports');
  }

  showAudit() {
    this.reportId = null;
    if (!this.reports.first) this.reports.reload();
    this.audit.reload();
  }

  /** Decides the report; the list of its state no longer has it then, also if somebody else was faster. */
  async decide(reportId, decision) {
    try {
      await this.api.call('POST', `/api/admin/reports/${reportId}/decide`, decision);
    } catch (error) {
      if (error.code === CLOSED) this.reports.reload();
      throw error;
    }
    this.reports.reload();
  }

  async unblock(memberId) {
    await this.api.call('POST', `/api/admin/members/${memberId}/unblock`);
    await this.reports.reload();
    await this.find();
  }

  changed(what) {
    this.dispatchEvent(new CustomEvent('change', { detail: what }));
  }
}
