-- Somebody was erased since the request came: its answer, which may be about them, is not kept, or not any more.
alter table idempotency_keys add column forgotten boolean not null default false;
