-- Members, their logins and plans. Times are milliseconds since 1970, flags 0 or 1: the common ground of both databases.

create table member (
    id integer primary key autoincrement check (id between 1 and 2147483647),
    provider text not null check (provider in ('KAKAO', 'GOOGLE', 'NAVER')),
    provider_id text not null check (length(provider_id) between 1 and 255),
    email text check (length(email) <= 320),
    name text not null check (length(name) between 1 and 100),
    image_url text check (length(image_url) <= 2048),
    role text not null check (role in ('ROLE_NEW_MEMBER', 'ROLE_MEMBER', 'ROLE_ADMIN')),
    language text not null default 'ko' check (language in ('ko', 'en')),
    blocked bigint not null default 0 check (blocked in (0, 1)),
    -- Sum in tenths of a star, so that a mean never drifts.
    rating_sum bigint not null default 0 check (rating_sum >= 0),
    rating_count bigint not null default 0 check (rating_count >= 0),
    created_at bigint not null,
    updated_at bigint not null,
    unique (provider, provider_id)
);

-- A login: the family of tokens that renew each other.
create table token_family (
    id text primary key,
    member_id bigint not null references member (id),
    -- The refresh token that may be renewed, and the one before it, which may come again for a moment.
    current_token text not null,
    previous_token text,
    rotated_at bigint not null,
    expires_at bigint not null,
    revoked_at bigint
);
create index token_family_member on token_family (member_id);

-- A login under way: what must come back from the provider, and to which browser.
create table login_attempt (
    state text primary key,
    provider text not null,
    browser text not null,
    nonce text not null,
    verifier text not null,
    expires_at bigint not null
);
create index login_attempt_age on login_attempt (expires_at);

create table plan (
    member_id bigint primary key references member (id),
    name text not null,
    category text not null check (category in ('5G', 'LTE', 'NUGET')),
    age_group text not null,
    carrier text,
    providing bigint not null check (providing between 0 and 10000),
    monthly_price bigint not null check (monthly_price between 0 and 10000000)
);

-- What a member's plan gives in a month and what they bought in it, in units of 0.1 GB. Made on first use.
create table member_month (
    member_id bigint not null references member (id),
    month bigint not null check (month between 202001 and 999912),
    providing bigint not null check (providing between 0 and 10000),
    bought bigint not null default 0 check (bought between 0 and 20),
    primary key (member_id, month)
);

-- Who did what as an operator, or with money; never changed.
create table audit (
    id integer primary key autoincrement,
    actor_id bigint not null,
    action text not null,
    target text not null,
    request_id text,
    created_at bigint not null
);
