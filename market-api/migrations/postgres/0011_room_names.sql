-- Names and pictures reach the chat server as events of members, so a change of theirs outdates no room.

drop trigger member_outdates_chat_rooms on member;
drop function outdate_chat_rooms_of_member();
