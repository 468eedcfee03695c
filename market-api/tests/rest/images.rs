//! Pictures: upload slots, and the check of uploads (F3).

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::future::join_all;
use http::{HeaderMap, Method, StatusCode, Uri};
use market_api::images::s3::{S3Images, S3Settings};
use market_api::images::{Head, Images, Key, ObjectStore as _};
use market_api::metrics::Metrics;
use serde_json::{Value, json};
use shared::config::Secret;
use shared::drain::Drain;
use shared::ids::MemberId;

use crate::on_both;
use crate::site::{Answer, Cookies, PAGE, Site};
use crate::support::{On, noon};

on_both! {
    a_picture_is_put_and_becomes_the_members,
    only_picture_names_get_an_upload_slot,
    upload_url_is_for_one_file_and_expires,
    a_picture_must_be_ones_own_and_there,
    a_picture_must_be_what_its_name_says,
    a_picture_that_is_too_large_is_not_used,
    upload_after_the_check_is_not_published,
    an_upload_that_cannot_be_removed_is_counted,
    pages_of_allowed_origins_may_upload,
    open_upload_slots_are_bounded,
    unused_uploads_are_removed_after_a_day,
    a_new_picture_shows_in_lists_that_are_kept,
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";
const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01";

async fn presign(site: &Site, who: &Cookies, names: &Value) -> Answer {
    let ask = site.ask(Method::POST, "/api/images/presign").by(who);
    ask.json(&json!({ "filenames": names })).send().await
}

/// An upload slot for a file of this name: (upload URL, public URL).
async fn place(site: &Site, who: &Cookies, name: &str) -> (String, String) {
    let answer = presign(site, who, &json!([name])).await;
    answer.is(200, 0);
    let one = answer.json()["data"][0].clone();
    let text = |field: &str| one[field].as_str().unwrap().to_owned();
    (text("url"), text("publicUrl"))
}

async fn put(site: &Site, url: &str, bytes: impl Into<reqwest::Body>) -> u16 {
    site.ask_url(Method::PUT, url)
        .body(bytes)
        .send()
        .await
        .status
}

async fn show(site: &Site, who: &Cookies, url: &str) -> Answer {
    let ask = site.ask(Method::POST, "/api/members/profile-image").by(who);
    ask.json(&json!({ "imageUrl": url })).send().await
}

async fn a_picture_is_put_and_becomes_the_members(on: On) {
    let site = Site::start(on).await;
    let one = site.log_in("kakao", 1).await;
    let id = site.id(&one).await;
    let answer = presign(&site, &one, &json!(["내 사진.PNG", "b.jpeg"])).await;
    let places = answer.json()["data"].as_array().unwrap().clone();
    assert_eq!(places[0]["filename"], "내 사진.PNG");
    for (place, (ending, bytes)) in places.iter().zip([("png", PNG), ("jpeg", JPEG)]) {
        let text = |field: &str| place[field].as_str().unwrap();
        let key = text("key");
        assert!(
            key.starts_with(&format!("images/{id}/")) && key.ends_with(ending),
            "{key}"
        );
        assert_eq!(put(&site, text("url"), bytes).await, 200);
        show(&site, &one, text("publicUrl")).await.is(200, 0);
        let info = site.data(&one, "/api/members/info").await;
        assert_eq!(info["profileImageUrl"], place["publicUrl"]);
        let read = site.ask_url(Method::GET, text("publicUrl")).send().await;
        assert_eq!(read.status, 200);
        assert!(
            read.headers["content-type"]
                .to_str()
                .unwrap()
                .starts_with("image/")
        );
        assert_eq!(read.headers["x-content-type-options"], "nosniff");
    }
    // After the one of the first login.
    let told = "select count(*) from outbox where kind = 'member.updated' and aggregate_seq > 1";
    assert_eq!(site.number(told).await, 2);
}

async fn only_picture_names_get_an_upload_slot(on: On) {
    let site = Site::start(on).await;
    let one = site.log_in("kakao", 1).await;
    for name in ["a.gif", "a.svg", "a.png.html", "png", ".png", "", "a.png/"] {
        presign(&site, &one, &json!([name])).await.is(400, 3013);
        presign(&site, &one, &json!(["good.png", name]))
            .await
            .is(400, 3013);
    }
    for names in [
        json!([]),
        json!(vec!["a.png"; 11]),
        json!("a.png"),
        json!([7]),
        json!(null),
    ] {
        presign(&site, &one, &names).await.is(400, 1006);
    }
    assert_eq!(site.number("select count(*) from upload").await, 0);
    // Path components of the name do not get into the key.
    let (_, url) = place(&site, &one, "../../../etc/passwd.png").await;
    assert!(!url.contains("passwd") && !url.contains(".."), "{url}");
}

async fn upload_url_is_for_one_file_and_expires(on: On) {
    let site = Site::start(on).await;
    let one = site.log_in("kakao", 1).await;
    let (url, public) = place(&site, &one, "a.png").await;
    let (other, _) = place(&site, &one, "a.png").await;
    let query = url.split_once('?').unwrap().1;
    let elsewhere = format!("{}?{query}", other.split('?').next().unwrap());
    assert_eq!(put(&site, &elsewhere, PNG).await, 403);
    assert_eq!(put(&site, &public, PNG).await, 403);
    let longer = url.replacen("expires=", "expires=9", 1);
    assert_eq!(put(&site, &longer, PNG).await, 403);
    let too_long = vec![0_u8; (5 << 20) + 1];
    assert_eq!(put(&site, &url, too_long).await, 413);
    assert_eq!(put(&site, &url, PNG).await, 200);
    site.wait(Duration::from_secs(300));
    assert_eq!(put(&site, &url, PNG).await, 403);
    for path in ["/api/images/files/1/..%2Fkeys", "/api/images/files/1/x.png"] {
        site.ask(Method::GET, path).send().await.is(404, 1004);
    }
}

async fn a_picture_must_be_ones_own_and_there(on: On) {
    let site = Site::start(on).await;
    let (one, other) = (site.log_in("kakao", 1).await, site.log_in("kakao", 2).await);
    let (url, public) = place(&site, &one, "a.png").await;
    show(&site, &one, &public).await.is(400, 3013);
    assert_eq!(put(&site, &url, PNG).await, 200);
    show(&site, &other, &public).await.is(400, 3013);
    for odd in [
        "",
        "https://evil.example/a.png",
        "javascript:alert(1)",
        &format!("{public}?x=1"),
        &public.replace("/api/", "/../api/"),
        &format!("{public}.png"),
        &"x".repeat(3_000),
    ] {
        show(&site, &one, odd).await.is(400, 3013);
    }
    // A key without a slot, under which a file exists nevertheless.
    site.sql("delete from upload").await;
    show(&site, &one, &public).await.is(400, 3013);
}

async fn a_picture_must_be_what_its_name_says(on: On) {
    let site = Site::start(on).await;
    let one = site.log_in("kakao", 1).await;
    for (name, bytes, status) in [
        ("a.png", PNG, 200),
        ("a.jpg", JPEG, 200),
        ("a.png", JPEG, 400),
        ("a.jpg", PNG, 400),
        ("a.png", b"<svg onload=alert(1)>".as_slice(), 400),
        ("a.jpg", b"<html>".as_slice(), 400),
        ("a.png", b"".as_slice(), 400),
        ("a.png", &PNG[..10], 400),
    ] {
        let (url, public) = place(&site, &one, name).await;
        assert_eq!(put(&site, &url, bytes.to_vec()).await, 200);
        let answer = show(&site, &one, &public).await;
        assert_eq!(answer.status, status, "{name} {bytes:?}: {answer:?}");
    }
}

/// A bucket accepts uploads of any size.
async fn a_picture_that_is_too_large_is_not_used(on: On) {
    let site = Site::start(on).await;
    let one = site.log_in("kakao", 1).await;
    for (bytes, status) in [(5 << 20, 200), ((5 << 20) + 1, 400)] {
        let (url, public) = place(&site, &one, "a.png").await;
        assert_eq!(put(&site, &url, PNG).await, 200);
        let (_, key) = public.split_once("/files/").unwrap();
        let path = site.keys.with_file_name("images").join("uploads").join(key);
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_len(bytes).unwrap();
        let answer = show(&site, &one, &public).await;
        assert_eq!(answer.status, status, "{bytes} {answer:?}");
    }
}

/// An upload URL can be used again; the checked file is the published one.
async fn upload_after_the_check_is_not_published(on: On) {
    let site = Site::start(on).await;
    let one = site.log_in("kakao", 1).await;
    let html: &[u8] = b"<html><script>alert(1)</script>";
    let (url, public) = place(&site, &one, "a.png").await;
    let read = async || site.ask_url(Method::GET, &public).send().await;
    assert_eq!(put(&site, &url, PNG).await, 200);
    assert_eq!(read().await.status, 404, "nobody has looked at it");
    show(&site, &one, &public).await.is(200, 0);
    let shown = read().await;
    let check = async || {
        let now = read().await;
        assert_eq!((now.status, &now.text), (200, &shown.text));
        assert_eq!(now.headers["content-type"], "image/png");
        assert_eq!(now.headers["x-content-type-options"], "nosniff");
    };
    assert_eq!(uploads(&site), 0, "the upload is removed");
    for other in [html, JPEG, b""] {
        assert_eq!(put(&site, &url, other.to_vec()).await, 403);
        assert_eq!(uploads(&site), 0, "nothing is put behind it");
        check().await;
        // A used picture stays used, also when it is used again.
        show(&site, &one, &public).await.is(200, 0);
        check().await;
    }

    // Concurrent uploads during the check: a valid picture is published, or none.
    let (url, public) = place(&site, &one, "a.png").await;
    let larger = [PNG, &[7; 4_000]].concat();
    for _ in 0..5 {
        assert!([200, 403].contains(&put(&site, &url, PNG).await));
        let (answer, ..) = tokio::join!(
            show(&site, &one, &public),
            put(&site, &url, html),
            put(&site, &url, larger.clone()),
        );
        assert!([200, 400].contains(&answer.status), "{answer:?}");
        let read = site.ask_url(Method::GET, &public).send().await;
        assert!(!read.text.contains("html"), "{read:?}");
        assert_eq!(
            read.status == 200,
            answer.status == 200 || read.status == 200
        );
        if answer.status == 200 {
            assert_eq!(uploads(&site), 0, "a PUT meanwhile leaves nothing");
        }
    }
}

/// The number of files below `uploads/`.
fn uploads(site: &Site) -> usize {
    let all = site.keys.with_file_name("images").join("uploads");
    let folders = std::fs::read_dir(all).unwrap();
    let files = folders.map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count());
    files.sum()
}

/// The picture is published all the same.
async fn an_upload_that_cannot_be_removed_is_counted(on: On) {
    let site = Site::start(on).await;
    let one = site.log_in("kakao", 1).await;
    let key = "images/1/00000000-0000-0000-0000-000000000000.png";
    let bucket = Router::new().route(
        "/bucket/{*path}",
        get(object)
            .put(copied)
            .delete(async || StatusCode::SERVICE_UNAVAILABLE),
    );
    let listener = crate::site::bind().await;
    let base = format!("{}/bucket", crate::site::address(&listener));
    let drain = Drain::new();
    crate::site::serve(&drain, listener, bucket.with_state(()));
    let store = S3Images::new(S3Settings {
        bucket_url: base.parse().unwrap(),
        public_url: base.parse().unwrap(),
        region: "ap-northeast-2".to_owned(),
        access_key: "key".to_owned(),
        secret_key: Secret::new("hunter2".to_owned()),
    });
    let (db, clock) = (site.market.db().clone(), site.clock.clone());
    let metrics = Arc::new(Metrics::new());
    let images = Images::new(Arc::new(store.unwrap()), db, clock, Arc::clone(&metrics));
    let id = site.id(&one).await;
    assert_eq!(id, 1, "the bucket has a file of this member");
    site.sql(&format!(
        "insert into upload (key, member_id, state, created_at, expires_at) \
         values ('{key}', 1, 'OPEN', 1, 2)"
    ))
    .await;
    let member = MemberId::try_from(id).unwrap();
    images
        .check(member, &format!("{base}/{key}"))
        .await
        .unwrap();
    assert_eq!(metrics.uploads_left.get(), 1);
    let used = "select count(*) from upload where state = 'USED'";
    assert_eq!(site.number(used).await, 1);
    drain.hard().cancel();
}

/// The preflight request of a browser before a cross-origin PUT.
async fn pages_of_allowed_origins_may_upload(on: On) {
    let site = Site::start(on).await;
    let one = site.log_in("kakao", 1).await;
    let (url, public) = place(&site, &one, "a.png").await;
    let preflight = |origin: &str| {
        let ask = site.ask_url(Method::OPTIONS, &url).header("origin", origin);
        let ask = ask.header("access-control-request-method", "PUT");
        ask.header("access-control-request-headers", "content-type")
            .send()
    };
    let allowed = preflight(PAGE).await;
    assert_eq!(allowed.status, 200, "{allowed:?}");
    assert_eq!(allowed.headers["access-control-allow-origin"], PAGE);
    let text = |name: &str| allowed.headers[name].to_str().unwrap().to_owned();
    assert!(text("access-control-allow-methods").contains("PUT"));
    assert_eq!(text("access-control-allow-headers"), "content-type");
    let other = preflight("https://evil.example").await;
    assert!(
        !other.headers.contains_key("access-control-allow-origin"),
        "{other:?}"
    );

    let put = site.ask_url(Method::PUT, &url).header("origin", PAGE);
    let put = put
        .header("content-type", "image/png")
        .body(PNG)
        .send()
        .await;
    assert_eq!(put.status, 200);
    assert_eq!(put.headers["access-control-allow-origin"], PAGE);
    // The page can read error responses, too.
    let refused = site.ask_url(Method::PUT, &public).header("origin", PAGE);
    let refused = refused.body(PNG).send().await;
    assert_eq!(refused.status, 403);
    for answer in [&put, &refused] {
        assert_eq!(answer.headers["access-control-allow-origin"], PAGE);
        assert!(answer.headers.contains_key("x-request-id"), "{answer:?}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    }
}

async fn open_upload_slots_are_bounded(on: On) {
    let site = Site::start(on).await;
    let (one, other) = (site.log_in("kakao", 1).await, site.log_in("kakao", 2).await);
    let ten = json!(vec!["a.png"; 10]);
    // The bound also holds for concurrent requests.
    let at_once = join_all((0..12).map(|_| presign(&site, &one, &ten))).await;
    let given = at_once.iter().filter(|answer| answer.status == 200);
    assert_eq!(given.count(), 6, "{at_once:?}");
    let answer = presign(&site, &one, &json!(["a.png"])).await;
    answer.is(429, 1009);
    assert!(answer.headers.contains_key("retry-after"));
    presign(&site, &other, &ten).await.is(200, 0);
    site.wait(Duration::from_secs(300));
    presign(&site, &one, &ten).await.is(200, 0);
}

/// Waits until the query returns this number.
async fn becomes(site: &Site, text: &str, expected: i64) {
    let mut look = tokio::time::interval(Duration::from_millis(20));
    let waiting = async {
        while site.number(text).await != expected {
            look.tick().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    in_time.unwrap_or_else(|_| panic!("in vain: {text} is {expected}"));
}

async fn unused_uploads_are_removed_after_a_day(on: On) {
    let site = Site::start(on).await;
    let one = site.log_in("kakao", 1).await;
    let mut used = Vec::new();
    for _ in 0..2 {
        let (url, public) = place(&site, &one, "a.png").await;
        assert_eq!(put(&site, &url, PNG).await, 200);
        used.push(public);
    }
    show(&site, &one, &used[0]).await.is(200, 0);
    let spot = crate::products::spot_with(&used[1]);
    let offer = site.ask(Method::POST, "/api/products/wifi").by(&one);
    offer.json(&spot).send().await.is(200, 0);
    let (url, unused) = place(&site, &one, "a.png").await;
    assert_eq!(put(&site, &url, PNG).await, 200);
    let (_, never_put) = place(&site, &one, "a.png").await;
    // Old uploads, more than one sweep removes.
    site.sql(
        "insert into upload (key, member_id, state, created_at, expires_at) \
         with recursive n (n) as (select 1 union all select n + 1 from n where n < 150) \
         select 'images/' || m.id || '/00000000-0000-0000-0000-' \
         || substr('' || (100000000000 + n.n), 1, 12) || '.png', m.id, 'OPEN', 1, 1 \
         from n cross join member m",
    )
    .await;
    site.wait(Duration::from_secs(3_600));
    becomes(&site, "select count(*) from upload", 4).await;
    // One second before a day after the URL's expiry.
    site.wait(Duration::from_secs(23 * 3_600 + 299));
    becomes(&site, HOUSEKEPT, site.now_ms()).await;
    assert_eq!(site.number("select count(*) from upload").await, 4);
    site.wait(Duration::from_secs(3_600));
    becomes(&site, "select count(*) from upload", 2).await;
    for (url, status) in [
        (&used[0], 200),
        (&used[1], 200),
        (&unused, 404),
        (&never_put, 404),
    ] {
        let read = site.ask_url(Method::GET, url).send().await;
        assert_eq!(read.status, status, "{url}");
    }
    // A doomed slot cannot be used before it is removed.
    let one = site.log_in("kakao", 1).await;
    let (url, public) = place(&site, &one, "a.png").await;
    assert_eq!(put(&site, &url, PNG).await, 200);
    site.sql("update upload set state = 'DOOMED' where state = 'OPEN'")
        .await;
    show(&site, &one, &public).await.is(400, 3013);
}

/// The time of the last sweep.
const HOUSEKEPT: &str = "select due_at - 3600000 from schedule where name = 'unused-images'";

async fn a_new_picture_shows_in_lists_that_are_kept(on: On) {
    let site = Site::start(on).await;
    let (one, other) = (site.log_in("kakao", 1).await, site.log_in("kakao", 2).await);
    let (url, public) = place(&site, &one, "a.png").await;
    assert_eq!(put(&site, &url, PNG).await, 200);
    let data = site.ask(Method::POST, "/api/products/mobile-data").by(&one);
    let form = json!({ "price": 100, "dataAmount": 0.1, "isSplitType": false });
    data.json(&form).send().await.is(200, 0);
    for kind in ["wifi", "hotspot"] {
        let path = format!("/api/products/{kind}");
        let offer = site.ask(Method::POST, &path).by(&one);
        let mut spot = crate::products::spot_with("");
        spot["images"] = json!([]);
        offer.json(&spot).send().await.is(200, 0);
    }
    let lists = [
        "/api/products/mobile-data?size=5&productSortOption=RECENT",
        "/api/products/wifi?size=5&productSortOption=PRICE_ASC&latitude=37.5&longitude=127",
        "/api/products/wifi?size=5&productSortOption=DISTANCE_ASC&latitude=37.5&longitude=127",
        "/api/products/hotspot?size=5&productSortOption=PRICE_ASC&latitude=37.5&longitude=127",
    ];
    for picture in [Value::Null, json!(public)] {
        if !picture.is_null() {
            show(&site, &one, &public).await.is(200, 0);
        }
        for list in lists.iter().chain(&lists) {
            let page = site.data(&other, list).await;
            assert_eq!(page["data"][0]["profileImageUrl"], picture, "{list}");
        }
    }
}

/// A stub of an object store, with several files and failures.
async fn object(State(()): State<()>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    let ranged = headers
        .get("range")
        .is_some_and(|range| range == "bytes=0-15");
    assert!(ranged, "{headers:?}");
    assert!(path.starts_with("uploads/"), "{path}");
    let whole = [PNG, &[0; 984]].concat();
    let total = format!("bytes 0-15/{}", whole.len());
    let tag = ("etag", "\"tag\"");
    if path.contains("/1/") {
        let part = whole[..16].to_vec();
        let status = StatusCode::PARTIAL_CONTENT;
        (status, [tag, ("content-range", &total)], part).into_response()
    } else if path.contains("/2/") {
        ([tag], whole).into_response()
    } else if path.contains("/3/") {
        StatusCode::RANGE_NOT_SATISFIABLE.into_response()
    } else if path.contains("/4/") {
        StatusCode::NOT_FOUND.into_response()
    } else {
        StatusCode::FORBIDDEN.into_response()
    }
}

/// A copy within the store; conditional on the checked file's tag.
async fn copied(Path(path): Path<String>, uri: Uri, headers: HeaderMap) -> Response {
    assert!(path.starts_with("images/"), "{path}");
    let source = path.replacen("images/", "/bucket/uploads/", 1);
    for (name, value) in [
        ("content-type", "image/png"),
        ("x-amz-copy-source", &*source),
        ("x-amz-copy-source-if-match", "\"tag\""),
        ("x-amz-metadata-directive", "REPLACE"),
    ] {
        assert_eq!(headers[name], value);
        assert!(uri.query().unwrap().contains(name), "unsigned: {name}");
    }
    if path.contains("/1/") {
        "<?xml version=\"1.0\"?><CopyObjectResult><ETag>x</ETag></CopyObjectResult>".into_response()
    } else if path.contains("/2/") {
        StatusCode::PRECONDITION_FAILED.into_response()
    } else if path.contains("/3/") {
        "<?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>".into_response()
    } else if path.contains("/4/") {
        StatusCode::NOT_FOUND.into_response()
    } else {
        StatusCode::FORBIDDEN.into_response()
    }
}

/// Reports whether the file existed, or that access is denied.
async fn removed(Path(path): Path<String>) -> StatusCode {
    match path {
        path if path.contains("/1/") => StatusCode::NO_CONTENT,
        path if path.contains("/4/") => StatusCode::NOT_FOUND,
        _ => StatusCode::FORBIDDEN,
    }
}

#[tokio::test]
async fn a_bucket_is_asked_for_the_first_bytes_only() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/bucket", listener.local_addr().unwrap());
    let drain = Drain::new();
    let routes = Router::new()
        .route("/bucket/{*path}", get(object).put(copied).delete(removed))
        .with_state(());
    let hard = drain.hard();
    drop(drain.spawn("bucket", async move {
        hard.run_until_cancelled(async { axum::serve(listener, routes).await })
            .await
    }));
    let store = S3Images::new(S3Settings {
        bucket_url: base.parse().unwrap(),
        public_url: "https://pictures.example/".parse().unwrap(),
        region: "ap-northeast-2".to_owned(),
        access_key: "key".to_owned(),
        secret_key: Secret::new("hunter2".to_owned()),
    });
    let store = Arc::new(store.unwrap());
    let key = |member: u32| -> Key {
        let text = format!("images/{member}/00000000-0000-0000-0000-000000000000.png");
        text.parse().unwrap()
    };
    let public = store.public_url(&key(1));
    let expected = format!("https://pictures.example/{}", key(1));
    assert_eq!(public, expected);
    assert_eq!(store.key_of(&public), Some(key(1)));
    assert_eq!(store.key_of("https://evil.example/x"), None);
    let upload = store.upload_url(&key(1), noon());
    assert!(
        upload.starts_with(&format!("{base}/{}?X-Amz-", key(1).upload_place())),
        "{upload}"
    );
    assert!(!upload.contains("hunter2"));

    let head = async |member| store.head(&key(member), noon()).await;
    let seen = Head {
        bytes: PNG[..16].to_vec(),
        size: PNG.len() as u64 + 984,
        tag: "\"tag\"".to_owned(),
    };
    let whole = Some(seen.clone());
    assert_eq!(head(1).await.unwrap(), whole);
    assert_eq!(
        head(2).await.unwrap(),
        whole,
        "also where ranges are not understood"
    );
    let empty = Head {
        bytes: Vec::new(),
        size: 0,
        tag: String::new(),
    };
    assert_eq!(head(3).await.unwrap(), Some(empty));
    assert_eq!(head(4).await.unwrap(), None);
    let error = head(5).await.unwrap_err().to_string();
    assert!(error.contains("403") && !error.contains("X-Amz"), "{error}");

    let publish = async |member| store.publish(&key(member), &seen, noon()).await;
    assert!(publish(1).await.unwrap());
    assert!(!publish(2).await.unwrap(), "another file by now");
    assert!(publish(3).await.is_err(), "told in the body");
    assert!(!publish(4).await.unwrap());
    let error = publish(5).await.unwrap_err().to_string();
    assert!(error.contains("403") && !error.contains("X-Amz"), "{error}");

    let remove = async |member| store.remove(&key(member), noon()).await;
    remove(1).await.unwrap();
    remove(4).await.unwrap();
    let error = remove(5).await.unwrap_err().to_string();
    assert!(error.contains("403") && !error.contains("X-Amz"), "{error}");
    drain.hard().cancel();
}
