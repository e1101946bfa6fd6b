//! Bodies of control messages, byte for byte (dataplane §2.2).

use nat::control::{AssignedIps, BodyError, DomainStatus, GatewayId, Status};

const RESOURCE: &str = "3b1f5a62-8c0d-4e57-9a1e-0f6d2b7c4e90";
const ASSIGNED: &str = r#"{"resource":"3b1f5a62-8c0d-4e57-9a1e-0f6d2b7c4e90","domain":"app.example.net","proxy_ips":["100.96.0.1","100.96.0.2","100.96.0.3","100.96.0.4"]}"#;
const ACTIVE: &str = r#"{"resource":"3b1f5a62-8c0d-4e57-9a1e-0f6d2b7c4e90","domain":"app.example.net","status":"Active"}"#;

fn assigned() -> AssignedIps {
    AssignedIps {
        resource: RESOURCE.parse().unwrap(),
        domain: "app.example.net".into(),
        proxy_ips: (1..5).map(|host| [100, 96, 0, host].into()).collect(),
        id: None,
        run: None,
    }
}

fn status(json: &str) -> DomainStatus {
    DomainStatus::decode(json.as_bytes()).unwrap()
}

fn with_member(member: &str) -> DomainStatus {
    status(&format!("{},{member}}}", &ACTIVE[..ACTIVE.len() - 1]))
}

#[test]
fn the_examples_of_the_specification_are_met_byte_for_byte() {
    let mut room = [0; 1232];
    let len = assigned().encode(&mut room).unwrap();
    assert_eq!(std::str::from_utf8(&room[..len]), Ok(ASSIGNED));
    assert_eq!(len, 144);
    assert_eq!(AssignedIps::decode(ASSIGNED.as_bytes()), Ok(assigned()));

    let active = DomainStatus::plain(RESOURCE.parse().unwrap(), "app.example.net", Status::Active);
    let len = active.encode(&mut room).unwrap();
    assert_eq!(std::str::from_utf8(&room[..len]), Ok(ACTIVE));
    assert_eq!(len, 0x68 - 8);
    assert_eq!(status(ACTIVE), active);
}

#[test]
fn optional_members_travel_there_and_back() {
    let mut room = [0; 1232];
    let sent = AssignedIps { id: Some(u64::MAX), run: Some(1 << 63), ..assigned() };
    let len = sent.encode(&mut room).unwrap();
    assert_eq!(AssignedIps::decode(&room[..len]), Ok(sent));

    let sent = DomainStatus {
        id: Some(7),
        ipv4: Some(2),
        ipv6: Some(0),
        ttl: Some(30),
        stale: Some(true),
        reason: Some(DomainStatus::REASON_ACCESS.into()),
        ..status(ACTIVE)
    };
    let len = sent.encode(&mut room).unwrap();
    assert_eq!(DomainStatus::decode(&room[..len]), Ok(sent));
}

#[test]
fn a_malformed_optional_member_counts_as_absent() {
    let plain = status(ACTIVE);
    let bad = [
        r#""id":"7""#,
        r#""id":-1"#,
        r#""ipv4":1.5"#,
        r#""ttl":null"#,
        r#""stale":1"#,
        r#""reason":[]"#,
    ];
    for member in bad {
        assert_eq!(with_member(member), plain, "{member}");
    }
}

#[test]
fn unknown_members_and_unknown_verdicts_are_borne() {
    assert_eq!(with_member(r#""later":{"a":[1,2]}"#), status(ACTIVE));
    for word in [r#""Paused""#, r#""active""#, "null", "3"] {
        let json = ACTIVE.replace(r#""Active""#, word);
        assert_eq!(status(&json).status, Status::Inactive, "{word}");
    }
}

#[test]
fn a_body_that_is_not_the_message_is_an_error() {
    let bodies: [&[u8]; 6] = [
        b"",
        b"{}",
        b"{\"resource\":",
        b"\xff\xfe",
        br#"{"resource":"x","domain":"a","proxy_ips":[]}"#,
        br#"{"resource":"3b1f5a62-8c0d-4e57-9a1e-0f6d2b7c4e90","domain":"a","proxy_ips":["1.2.3"]}"#,
    ];
    for body in bodies {
        assert_eq!(AssignedIps::decode(body), Err(BodyError));
        assert_eq!(DomainStatus::decode(body), Err(BodyError));
    }
    let deep = "[".repeat(1200);
    assert_eq!(AssignedIps::decode(deep.as_bytes()), Err(BodyError));
}

#[test]
fn a_body_that_does_not_fit_is_not_written() {
    assert_eq!(assigned().encode(&mut [0; 143]), None);
}

#[test]
fn ids_of_peers_are_uuids() {
    let id: GatewayId = RESOURCE.parse().unwrap();
    assert_eq!(id.to_string(), RESOURCE);
    assert!("gateway".parse::<GatewayId>().is_err());
}
