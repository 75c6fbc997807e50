-- A part takes the place of those earlier parts that it tells better, which need not be all of them:
-- they are named. They are refunded.
alter table message add column replaces integer[] not null default '{}';
alter table message disable trigger append_only;
update message m set replaces = array(
    select p.part from message p
    where p.namespace_id = m.namespace_id and p.message_id = m.message_id and p.part < m.part
        and not exists (
            select from message r
            where r.namespace_id = m.namespace_id and r.message_id = m.message_id
                and r.is_replacement and r.part > p.part and r.part < m.part)
    order by p.part)
where m.is_replacement;
alter table message enable trigger append_only;
alter table message drop column is_replacement;

-- Blanks around a user's name are part of it for Dify, which finds no run by another name.
alter table paused_run add column dify_user text;
