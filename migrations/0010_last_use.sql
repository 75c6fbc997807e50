-- Finds when a model, or another kind of entry, was last there without reading every hour since.
create index rollup_last on rollup (account_id, kind, model_key, hour desc);
