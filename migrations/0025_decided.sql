-- Finds what was decided to be somebody, in the order in which it was seen: their sightings, and whoever is to be erased.
create index review_items_person on review_items (person_id, captured_at desc, event_id) where person_id is not null;
