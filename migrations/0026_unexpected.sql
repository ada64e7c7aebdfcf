-- What somebody decides about a face counts as if a camera had been sure of it: of whoever was not expected it says so, too.
alter table corrections drop constraint corrections_kind_check;
alter table corrections add constraint corrections_kind_check check (kind in
    ('excuse', 'present', 'late', 'absent', 'void', 'restore', 'off_roster', 'off_schedule'));
