// The pane beside the purchases for what is done with cash: charging and paying out.

import { balanceLink } from './balance.js';
import { ChargeView } from './charge-view.js';
import { byId, element, icon } from './dom.js';
import { t } from './i18n.js';
import { RefundView } from './refund-view.js';

const TITLES = { charge: 'chargeTitle', charged: 'chargeTitle', failed: 'chargeTitle', refund: 'refundTitle' };

export class MoneyView {
  constructor(charges, refunds, wallet) {
    this.wallet = wallet;
    this.charge = new ChargeView(charges);
    this.refund = new RefundView(refunds, wallet);
  }

  /** Shows what the address names: `money` is the view, `choice` belongs to it. */
  show({ money, choice }) {
    const title = t(TITLES[money]);
    const back = element('a', { class: 'icon-button back', href: '#/trades', 'aria-label': t('toPurchases') }, icon('back'));
    const head = element('header', { class: 'pane-head' }, back, element('h2', { tabindex: -1 }, title), balanceLink(this.wallet));
    const pane = byId('money');
    pane.setAttribute('aria-label', title);
    pane.dataset.view = money;
    pane.replaceChildren(head, element('div', { class: 'offer-body money-body' }, ...this.content(money, choice)));
  }

  content(money, choice) {
    if (money === 'charged') return this.charge.charged(choice);
    if (money === 'failed') return this.charge.failed(choice);
    return money === 'refund' ? this.refund.open() : this.charge.open();
  }
}
