-- What is left of a credit changes with every charge. In the predicate of an index it would make each
-- change a new entry in every index of the table; whether it is spent changes once.
alter table credit add column is_spent boolean not null generated always as (remaining_nano = 0) stored;
drop index credit_expiry;
create index credit_expiry on credit (expires_at) where not is_spent and expires_at is not null;
