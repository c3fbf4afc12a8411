-- What happened at a meter. One event is meter, name, phase and time, however often and from
-- wherever it was told; distinct_by tells those apart whose time is no identity (a lost clock, or
-- only the time of reception): it is a digest of their octets, and empty for all others.
create table events (
    event_no bigint generated always as identity primary key,
    meter_no integer not null references meters,
    name text not null,
    phase text not null check (phase in ('occurred', 'ended')),
    at_s bigint not null,
    distinct_by bytea not null,
    log text not null,
    code integer,
    time_quality time_quality not null,
    timed_by text not null check (timed_by in ('meter', 'gateway')),
    -- where a list by time puts it: at_s, or its first reception where that cannot be believed
    placed_at_s bigint not null,
    first_received_at_us bigint not null,
    unique (meter_no, name, phase, at_s, distinct_by)
);
create index events_by_time on events (meter_no, placed_at_s, event_no);

-- Who told it, with the octets: a row of the log, a pushed message, a conclusion of the gateway.
create table event_reports (
    event_no bigint not null references events,
    source text not null check (source in ('log', 'push', 'derived')),
    digest bytea not null check (octet_length(digest) = 16),
    raw bytea not null,
    received_at_us bigint not null,
    server_system_title bytea,
    invocation_counter bigint,
    stream_no integer not null,
    sequence bigint not null,
    ingested_at_s bigint not null,
    primary key (event_no, source, digest)
);
