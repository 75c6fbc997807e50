-- What the lines of a model of a charge cost since they were re-rated: the next re-rating, of another model of
-- the same message, leaves that as it is. A charge that has none here costs what its lines say.
create table rerated (
    account_id uuid not null,
    -- The charge's.
    entry bigint not null,
    model_key text not null,
    price_version_id bigint not null,
    cost_nano bigint not null check (cost_nano >= 0),
    primary key (account_id, entry, model_key)
);
