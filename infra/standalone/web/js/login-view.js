// The first screen: which demo member this tab is.

import { avatar, byId, element } from './dom.js';
import { Session, fetchDemo } from './session.js';

/** Shows the screen until somebody is chosen. */
export function chooseMember() {
  const screen = byId('login');
  const problem = byId('login-problem');
  screen.hidden = false;
  document.title = '다판다 채팅';
  return new Promise((resolve) => {
    const choose = async (memberId) => {
      problem.textContent = '';
      try {
        const session = await Session.logIn(memberId);
        screen.hidden = true;
        resolve(session);
      } catch {
        problem.textContent = '들어가지 못했어요. 잠시 뒤에 다시 눌러 주세요.';
      }
    };
    showMembers(choose, problem);
  });
}

async function showMembers(choose, problem) {
  try {
    const { members } = await fetchDemo();
    byId('members').replaceChildren(...members.map((member) => row(member, choose)));
  } catch {
    problem.textContent = '서버에 연결하지 못했어요. 서버를 켜고 새로고침해 주세요.';
  }
}

function row({ memberId, name }, choose) {
  const button = element(
    'button',
    { type: 'button', 'data-member': memberId, onclick: () => choose(memberId) },
    avatar(memberId, name),
    element('span', { class: 'name' }, name),
    element('span', { class: 'number' }, `회원 ${memberId}`),
  );
  return element('li', {}, button);
}
