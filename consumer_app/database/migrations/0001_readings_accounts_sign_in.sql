-- Times are integers with their unit in the name: UTC epoch seconds (_s) or microseconds (_us).
-- A zone-aware timestamp column would shift a local day with the session's zone.

create type profile_kind as enum (
    'nameplate', 'instantaneous', 'block_load', 'daily_load', 'billing', 'events'
);
create type time_quality as enum ('ok', 'derived', 'drifted', 'unsynchronised', 'invalid');

create table gateways (
    gateway text primary key,
    birth jsonb,
    birth_at_s bigint,
    state jsonb,
    state_at_s bigint,
    health jsonb,
    health_at_s bigint
);

-- One row for each database file of a gateway: an epoch is one life of that file.
-- `answered` holds the sequence numbers that were answered, committed or refused.
create table streams (
    stream_no integer generated always as identity primary key,
    gateway text not null,
    stream text not null,
    epoch text not null,
    answered int8multirange not null default '{}',
    unique (gateway, stream, epoch)
);

create table meters (
    meter_no integer generated always as identity primary key,
    meter text not null unique,
    first_seen_s bigint not null
);

-- The key to the raw octets of a row: columns with scalers as they were in force.
create table capture_lists (
    capture_list_no integer generated always as identity primary key,
    digest bytea not null unique check (octet_length(digest) = 16),
    columns jsonb not null
);

-- No foreign keys here: the numbers are joined in the inserting transaction itself, and a
-- lookup for each of a city's 33 million rows a day buys nothing.
create table readings (
    meter_no integer not null,
    profile profile_kind not null,
    captured_at_s bigint not null,
    digest bytea not null check (octet_length(digest) = 16),
    capture_list_no integer not null,
    time_quality time_quality not null,
    values jsonb not null,
    raw bytea,
    received_at_us bigint not null,
    server_system_title bytea,
    invocation_counter bigint,
    stream_no integer not null,
    sequence bigint not null,
    ingested_at_s bigint not null,
    primary key (meter_no, profile, captured_at_s, digest)
);

-- Rows that differ at the same time: all are kept in readings, a person settles them.
create table conflicts (
    meter_no integer not null references meters,
    profile profile_kind not null,
    captured_at_s bigint not null,
    found_at_s bigint not null,
    settled_at_s bigint,
    settled_by text,
    primary key (meter_no, profile, captured_at_s)
);

create table refused_messages (
    refused_no bigint generated always as identity primary key,
    received_at_s bigint not null,
    topic text not null,
    gateway text not null,
    stream text not null,
    epoch text not null,
    sequence bigint not null,
    reason text not null,
    payload bytea not null,
    unique (gateway, stream, epoch, sequence)
);

-- What became of commands that were sent down.
create table results (
    gateway text not null,
    command text not null,
    outcome text not null,
    reason text not null,
    at_s bigint not null,
    primary key (gateway, command)
);

-- Every change of a connection takes the next number: clocks may repeat, this does not.
create sequence connection_versions;

create table connections (
    connection text primary key,
    name text not null,
    sanctioned_load_w integer not null check (sanctioned_load_w > 0),
    phases smallint not null check (phases in (1, 3)),
    category text not null,
    gateway text not null,
    changed_at_s bigint not null,
    version bigint not null
);

-- Which meter stood where, from one instant to another; an open end is null.
create table installations (
    installation_no integer generated always as identity primary key,
    connection text not null references connections,
    meter_no integer not null references meters,
    valid_from_s bigint not null,
    valid_to_s bigint check (valid_to_s > valid_from_s),
    unique (connection, meter_no, valid_from_s)
);
create index installations_by_meter on installations (meter_no);

-- scrypt with the cost stored beside the hash, so that the cost can rise with time.
create table credentials (
    connection text primary key references connections,
    salt bytea not null,
    hash bytea not null,
    cost integer not null,
    version integer not null
);

-- Subjects are digests, so that the table names neither people nor addresses.
create table sign_in_failures (
    subject bytea not null,
    failed_at_s bigint not null
);
create index sign_in_failures_by_subject on sign_in_failures (subject, failed_at_s);

-- The last sequence number that each signed downlink of a gateway carried.
create table downlink_sequences (
    gateway text not null,
    kind text not null,
    sequence bigint not null,
    primary key (gateway, kind)
);
