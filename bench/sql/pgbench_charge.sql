\set account random(1, :accounts)
begin;
update balance set points = points - 93 where account_id = :account;
insert into journal (account_id, message_id, points) values (:account, nextval('next_message'), -93);
insert into message (message_id) values (currval('next_message'));
end;
