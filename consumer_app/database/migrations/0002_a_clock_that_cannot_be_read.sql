-- A meter may not let its clock be read: its times are then neither good nor known to be wrong.
alter type time_quality add value if not exists 'unverified' after 'derived';
