// The texts about notifications and running bookings in English.

export const texts = {
  notifications: 'Alerts',
  notificationsUnread: ({ count }) => `Alerts, ${count} unread`,
  noNotifications: 'No alerts yet.',
  unreadOne: 'Unread',
  deleteOf: ({ title }) => `Delete the alert: ${title}`,
  talkToBuyer: 'Chat with the buyer',
  andMore: ({ count }) => `${count} more alerts`,
  close: 'Close',
  justNow: 'just now',
  runningBookings: 'Running bookings',
  bookingUntil: ({ time }) => `In use until ${time}`,
  timeLeft: ({ time }) => `${time} left`,
  online: 'Online',
};
