-- Which sessions wait for a camera, or for a human: few of many, asked for often.

create index sessions_waiting on sessions (starts_at, id)
    where waits_for is not null and settled_at is null and released_at is null and state in ('planned', 'open');
