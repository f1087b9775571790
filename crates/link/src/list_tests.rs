use expect_test::{Expect, expect};

use super::*;

#[track_caller]
fn check(text: &str, expected: Expect) {
    let shown = match TrackerList::parse(Path::new("trackers.txt"), text) {
        Ok(list) => {
            let entries: Vec<String> = list.entries.iter().map(TrackerEntry::to_string).collect();
            let pin = list.pin.map(|key| format!(" pin {}", key.tag())).unwrap_or_default();
            format!("{}{pin}", entries.join(" "))
        }
        Err(e) => e.to_string(),
    };
    expected.assert_eq(&shown);
}

fn key(byte: u8) -> String {
    PublicKey([byte; 32]).to_hex()
}

#[test]
fn dialects() {
    check("127.0.0.1:7601\n127.0.0.1:7602\n", expect!["127.0.0.1:7601 127.0.0.1:7602"]);
    check("127.0.0.1 7601\n127.0.0.1\t7602", expect!["127.0.0.1:7601 127.0.0.1:7602"]);
    check("127.0.0.1 7601 9001\n127.0.0.1 7602 9002\n", expect!["127.0.0.1:7601 127.0.0.1:7602"]);
    check("127.0.0.1\n7601\n127.0.0.1\n7602\n", expect!["127.0.0.1:7601 127.0.0.1:7602"]);
    check(
        "10.0.0.1:1\n10.0.0.2 2\n10.0.0.3 3 4\n10.0.0.4\n4",
        expect!["10.0.0.1:1 10.0.0.2:2 10.0.0.3:3 10.0.0.4:4"],
    );
}

#[test]
fn comments_names_and_v6() {
    check("# ours\r\n\r\n  127.0.0.1:7601  # first\r\n", expect!["127.0.0.1:7601"]);
    check("\u{feff}Tracker-1.lab.example:7601", expect!["tracker-1.lab.example:7601"]);
    check(
        "[::1]:7601\n[2001:DB8::0:2] 7602\n2001:db8::3 7603\n::4\n7604",
        expect!["[::1]:7601 [2001:db8::2]:7602 [2001:db8::3]:7603 [::4]:7604"],
    );
    check("[::1]\n7601", expect!["[::1]:7601"]);
    check("127.0.0.1\n\n# its port:\n7601\n", expect!["127.0.0.1:7601"]);
}

#[test]
fn pins() {
    check(&format!("127.0.0.1:1 pin={}", key(0xab)), expect!["127.0.0.1:1 pin vov2xk5l"]);
    check(
        &format!("pin={}\n127.0.0.1 1\n127.0.0.2 2", key(0xab)),
        expect!["127.0.0.1:1 127.0.0.2:2 pin vov2xk5l"],
    );
    check(
        &format!("127.0.0.1:1 pin={0}\n127.0.0.1:2 pin={0}", key(0xab)),
        expect!["127.0.0.1:1 127.0.0.1:2 pin vov2xk5l"],
    );
    check(
        &format!("127.0.0.1:1 pin={}\n127.0.0.1:2 pin={}", key(0xab), key(0xac)),
        expect![
            "`trackers.txt`, line 2: another line pins another key in `127.0.0.1:2 pin=acacacacacacacacacacacacacacacacacacacacacacacacacacacacacacacac`"
        ],
    );
    check(
        "127.0.0.1:1 pin=abc",
        expect!["`trackers.txt`, line 1: expected `pin=` and 64 hex digits in `127.0.0.1:1 pin=abc`"],
    );
    check(
        &format!("pin={}", key(0xab)),
        expect!["`trackers.txt` names no tracker: write one `HOST:PORT` per line"],
    );
}

#[test]
fn refusals() {
    check("", expect!["`trackers.txt` names no tracker: write one `HOST:PORT` per line"]);
    check(
        "a b c d",
        expect![
            "`trackers.txt`, line 1: expected `HOST:PORT`, `HOST PORT` or `HOST PORT SYNCPORT` in `a b c d`"
        ],
    );
    check(
        "\n\nlocalhost:70000",
        expect!["`trackers.txt`, line 3: expected a port from 1 to 65535 in `localhost:70000`"],
    );
    check("localhost:0", expect!["`trackers.txt`, line 1: expected a port from 1 to 65535 in `localhost:0`"]);
    check(
        "localhost:+1",
        expect!["`trackers.txt`, line 1: expected a port from 1 to 65535 in `localhost:+1`"],
    );
    check(
        "localhost http",
        expect!["`trackers.txt`, line 1: expected a port from 1 to 65535 in `localhost http`"],
    );
    check(
        "localhost 1 two",
        expect!["`trackers.txt`, line 1: expected a port from 1 to 65535 in `localhost 1 two`"],
    );
    check(
        "300.1.1.1:80",
        expect!["`trackers.txt`, line 1: expected an IP address or a host name in `300.1.1.1:80`"],
    );
    check("-x:80", expect!["`trackers.txt`, line 1: expected an IP address or a host name in `-x:80`"]);
    check("a..b:80", expect!["`trackers.txt`, line 1: expected an IP address or a host name in `a..b:80`"]);
    check("[::1]", expect!["`trackers.txt`, line 1: no port follows in `::1`"]);
    check("[::1", expect!["`trackers.txt`, line 1: expected an IP address or a host name in `[::1`"]);
    check(
        "[fe80]:80",
        expect!["`trackers.txt`, line 1: expected an IP address or a host name in `[fe80]:80`"],
    );
    check("7601", expect!["`trackers.txt`, line 1: expected an IP address or a host name in `7601`"]);
    check(
        "127.0.0.1\n127.0.0.2\n",
        expect!["`trackers.txt`, line 2: expected a port from 1 to 65535 in `127.0.0.2`"],
    );
    check("127.0.0.1:1\n127.0.0.2", expect!["`trackers.txt`, line 2: no port follows in `127.0.0.2`"]);
    check(
        "Localhost:1\n127.0.0.1:1\nlocalhost 1",
        expect!["`trackers.txt`, line 3: the tracker is already listed on line 1 in `localhost 1`"],
    );
    check("h:1\nh:2\nh:3\nh:4\nh:5\nh:6\nh:7\nh:8", expect!["`trackers.txt` names more than 7 trackers"]);
    check(
        "h:\u{1b}[31m1",
        expect![[r#"`trackers.txt`, line 1: expected a port from 1 to 65535 in `h:\u{1b}[31m1`"#]],
    );
}

#[test]
fn a_file_and_its_pin() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trackers.txt");
    let shown = |e: ListError| e.to_string().replace(&dir.path().display().to_string(), "DIR");
    expect!["cannot read the tracker list `DIR/trackers.txt`: No such file or directory (os error 2)"]
        .assert_eq(&shown(TrackerList::load(&path).unwrap_err()));

    std::fs::write(&path, "127.0.0.1:1\n127.0.0.1:2\n").unwrap();
    let list = TrackerList::load(&path).unwrap();
    assert_eq!(
        (list.pin, list.entry(0), list.entry(2).map(|e| e.port), list.entry(3)),
        (None, None, Some(2), None)
    );

    write_pin(&path, &PublicKey([1; 32])).unwrap();
    write_pin(&path, &PublicKey([1; 32])).unwrap();
    assert_eq!(TrackerList::load(&path).unwrap().pin, Some(PublicKey([1; 32])));
    expect!["`DIR/trackers.txt.pin` pins the key 0101010101010101010101010101010101010101010101010101010101010101, but the cluster's key is 0202020202020202020202020202020202020202020202020202020202020202"].assert_eq(&shown(write_pin(&path, &PublicKey([2; 32])).unwrap_err()));
    replace_pin(&path, &PublicKey([2; 32])).unwrap();
    assert_eq!(read_pin(&path).unwrap(), Some(PublicKey([2; 32])));

    std::fs::write(&path, format!("127.0.0.1:1 pin={}", key(1))).unwrap();
    expect!["`DIR/trackers.txt.pin` pins the key 0202020202020202020202020202020202020202020202020202020202020202, but the cluster's key is 0101010101010101010101010101010101010101010101010101010101010101"].assert_eq(&shown(TrackerList::load(&path).unwrap_err()));
    std::fs::write(pin_path(&path), "nonsense").unwrap();
    expect!["`DIR/trackers.txt.pin` must hold one public key of 64 hex digits"]
        .assert_eq(&shown(TrackerList::load(&path).unwrap_err()));
}
