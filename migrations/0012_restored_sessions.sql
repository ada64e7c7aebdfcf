-- When a session was cancelled. The corrections that this made have the same time; so whoever restores the session takes
-- back these and no others. Null also of sessions that were cancelled before there was this column.
alter table sessions add column cancelled_at timestamptz;
