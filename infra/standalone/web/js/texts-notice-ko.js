// The texts about notifications and running bookings in Korean.

export const texts = {
  notifications: '알림',
  notificationsUnread: ({ count }) => `알림, 안 읽은 알림 ${count}개`,
  noNotifications: '아직 알림이 없어요.',
  unreadOne: '안 읽음',
  deleteOf: ({ title }) => `${title} 알림 지우기`,
  talkToBuyer: '구매자와 대화하기',
  andMore: ({ count }) => `알림 ${count}개 더`,
  close: '닫기',
  justNow: '방금',
  runningBookings: '이용 중인 시간',
  bookingUntil: ({ time }) => `${time}까지 이용 중`,
  timeLeft: ({ time }) => `${time} 남음`,
  online: '접속 중',
};
