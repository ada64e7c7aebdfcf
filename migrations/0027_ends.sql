-- The sessions that are not over yet are read each minute, and after each change of a room, a course or a timetable.
create index sessions_end on sessions (ends_at) where kind = 'timetabled';
