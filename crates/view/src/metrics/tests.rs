//! A page is read back as a strict reader of `OpenMetrics` would.

#![expect(clippy::float_cmp, reason = "what is written comes back as it was")]

use super::families::FAMILIES;
use super::series::{LARGEST, TOLD};
use super::*;
use model::{
    By, Census, Created, Holder, Kind, Leak, LeakEvent, ObjectGroup, Pin, Process, Scope,
    SeriesSample, State, Trend,
};
use std::collections::{BTreeMap, BTreeSet};

type Read = BTreeMap<String, BTreeMap<Vec<(String, String)>, f64>>;

/// The samples by name and labels. Fails on whatever the format does not allow.
fn read(page: &str) -> Read {
    let lines = page.strip_suffix("# EOF\n").expect("an end");
    assert!(!lines.contains("\n# EOF"));
    let mut found = Read::new();
    let mut families = BTreeSet::new();
    // Name, samples' name, and unit; metadata come before all samples.
    let mut family = (String::new(), String::new(), false);
    for line in lines.lines() {
        let control = |c: char| c.is_control();
        assert!(!line.is_empty() && !line.contains(control), "{line:?}");
        if let Some(rest) = line.strip_prefix("# ") {
            let (word, rest) = rest.split_once(' ').expect("a word");
            let (name, value) = rest.split_once(' ').expect("a name");
            match word {
                "TYPE" => {
                    assert!(families.insert(name.to_owned()), "{name} comes twice");
                    let suffix = match value {
                        "counter" => "_total",
                        "gauge" => "",
                        _ => panic!("{line}"),
                    };
                    family = (name.to_owned(), format!("{name}{suffix}"), false);
                }
                "UNIT" => {
                    assert!(name.ends_with(&format!("_{value}")), "{line}");
                    assert_eq!(name, family.0);
                }
                "HELP" => {
                    assert_eq!(name, family.0);
                    assert!(
                        value.ends_with('.') && !value.contains(['\\', '"']),
                        "{line}"
                    );
                    family.2 = true;
                }
                _ => panic!("{line}"),
            }
            assert!(!found.contains_key(&family.1), "{line} after a sample");
            continue;
        }
        let (name, labels, value) = sample(line);
        assert_eq!(name, family.1, "{line}");
        assert!(family.2, "{line} without help");
        let names: BTreeSet<&String> = labels.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), labels.len(), "{line}");
        let before = found.entry(name).or_default().insert(labels, value);
        assert_eq!(before, None, "{line} comes twice");
    }
    found
}

fn sample(line: &str) -> (String, Vec<(String, String)>, f64) {
    let word = |c: char| c.is_ascii_lowercase() || c == '_';
    let end = line.find(|c| !word(c)).expect("an end of the name");
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, more) = rest.split_once("=\"").expect("a label");
            assert!(label.chars().all(word), "{line}");
            let mut value = String::new();
            let mut chars = more.chars();
            loop {
                match chars.next().expect("an end of the value") {
                    '"' => break,
                    '\\' => value.push(match chars.next() {
                        Some('n') => '\n',
                        Some(c @ ('\\' | '"')) => c,
                        other => panic!("{other:?} escaped in {line}"),
                    }),
                    c => value.push(c),
                }
            }
            assert!(!value.is_empty(), "{line}");
            labels.push((label.to_owned(), value));
            rest = chars.as_str();
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').expect("an end of the labels");
    }
    let value = rest.strip_prefix(' ').expect("a space before the value");
    (name.to_owned(), labels, value.parse().expect("a number"))
}

fn process(pid: u32, comm: &str) -> Holder {
    Holder::Process(Box::new(Process {
        pid,
        comm: comm.into(),
        ..Process::default()
    }))
}

fn series(number: u32, holder: Holder, handles: u64) -> SeriesSample {
    SeriesSample {
        series: number,
        scope: Scope::Process,
        by: By::Fd,
        holder,
        holders: 1,
        pattern: None,
        objects: ObjectGroup {
            kind: Kind::Map,
            name: "events".into(),
            type_name: "hash".into(),
            count: 1,
            ids: vec![17],
        },
        handles,
        fds: handles + 1,
        came: 0,
        went: 0,
        memory_bytes: 0,
        charged_to: None,
    }
}

fn told(series: &SeriesSample, leak: Leak, per_second: f64) -> LeakEvent {
    LeakEvent {
        id: format!("L{}", series.series),
        t: 1.0,
        first_seen: 0.0,
        state: Trend::Growing,
        leak,
        holder: series.holder.clone(),
        holders: series.holders,
        pattern: series.pattern.clone(),
        by: series.by,
        objects: series.objects.clone(),
        site: None,
        open: series.handles,
        open_fds: series.fds,
        acquired: None,
        released: None,
        lower_bound: true,
        per_second,
        collections: None,
        memory_bytes: 0,
        charged_to: None,
        exhausts: vec![],
    }
}

fn page(census: &Census, series: &[SeriesSample], told: &[LeakEvent]) -> String {
    metrics(&Metrics {
        version: "0.1.0",
        kernel: "6.18.44",
        census,
        series: series.iter().collect(),
        told: told.to_vec(),
        exhaustion: vec![("RLIMIT_NOFILE".into(), 32_168.5)],
        created: Created::default(),
        sweeps: 3,
        sweep_seconds: 0.004,
        swept_at: Some(1_764_000_000.25),
        cpu_seconds: 0.5,
        resident_bytes: None,
        cannot_see: 0,
    })
}

fn value(found: &Read, name: &str, label: (&str, &str)) -> f64 {
    let samples = found.get(name).unwrap_or_else(|| panic!("no {name}"));
    let has = |(labels, _): &(&Vec<(String, String)>, &f64)| {
        labels
            .iter()
            .any(|(n, v)| (n.as_str(), v.as_str()) == label)
    };
    samples.iter().filter(has).map(|(_, value)| value).sum()
}

#[test]
fn what_is_known_is_there_and_what_is_not_is_absent() {
    let mut census = Census::default();
    let orphans = census
        .objects
        .entry((Kind::Map, State::OrphanPin))
        .or_default();
    orphans.add(Some(4096));
    orphans.add(None);
    census
        .objects
        .entry((Kind::Prog, State::InUse))
        .or_default()
        .add(None);
    census
        .objects
        .entry((Kind::Link, State::InUse))
        .or_default();
    let held = census.held.entry((Kind::Map, By::Pin)).or_default();
    held.objects.add(Some(4096));
    held.references = 3;
    census.orphan_pins.insert(Kind::Map, 2);
    census.unexplained.insert(Kind::Prog, 0);
    let found = read(&page(&census, &[], &[]));
    let state = |name, state| value(&found, name, ("state", state));
    assert_eq!(state("lastref_objects", "orphan-pin"), 2.0);
    assert_eq!(state("lastref_objects_memory_bytes", "orphan-pin"), 4096.0);
    // No program tells its memory; and there is no link whose memory could be unknown.
    let kinds: Vec<&String> = found["lastref_objects_memory_bytes"]
        .keys()
        .map(|labels| &labels[0].1)
        .collect();
    assert_eq!(kinds, ["link", "map"]);
    assert_eq!(
        value(&found, "lastref_objects_memory_unknown", ("kind", "prog")),
        1.0
    );
    assert_eq!(value(&found, "lastref_references", ("by", "pin")), 3.0);
    assert_eq!(value(&found, "lastref_held_objects", ("by", "pin")), 1.0);
    assert_eq!(value(&found, "lastref_orphan_pins", ("kind", "map")), 2.0);
    assert_eq!(found["lastref_unexplained_references"].len(), 1);
    assert_eq!(value(&found, "lastref_leaks", ("leak", "yes")), 0.0);
    assert_eq!(
        value(
            &found,
            "lastref_exhaustion_seconds",
            ("limit", "RLIMIT_NOFILE")
        ),
        32_168.5
    );
    assert_eq!(
        found["lastref_last_sweep_timestamp_seconds"][&vec![]],
        1_764_000_000.25
    );
    assert_eq!(found["lastref_sweeps_total"][&vec![]], 3.0);
    assert!(!found.contains_key("lastref_resident_memory_bytes"));
    assert!(!found.contains_key("lastref_open_handles"));
    assert!(!found.contains_key("lastref_growth_per_second"));
}

#[test]
fn ten_thousand_holders_are_few_lines_and_their_sum_is_right() {
    let mut all: Vec<SeriesSample> = (0..10_000)
        .map(|n| series(n, process(n + 1, &format!("agent{n}")), u64::from(n % 500)))
        .collect();
    // All of them leak, too, the last ones fastest; and one has few handles.
    let mut leaks: Vec<LeakEvent> = all
        .iter()
        .map(|series| told(series, Leak::Suspected, f64::from(series.series)))
        .collect();
    leaks.reverse();
    for (by, scope) in [(By::Pin, Scope::Other), (By::Fd, Scope::Program)] {
        let mut more = series(10_000, process(1, "agent"), 1 << 40);
        (more.by, more.scope) = (by, scope);
        all.push(more);
    }
    let text = page(&Census::default(), &all, &leaks);
    let found = read(&text);
    let handles = &found["lastref_open_handles"];
    assert_eq!(handles.len(), TOLD + LARGEST + 1);
    let sum: u64 = all[..10_000].iter().map(|series| series.handles).sum();
    assert_eq!(handles.values().sum::<f64>(), sum as f64);
    assert_eq!(
        found["lastref_open_descriptors"].values().sum::<f64>(),
        (sum + 10_000) as f64
    );
    assert_eq!(
        value(&found, "lastref_open_handles", ("pid", "10000")),
        499.0
    );
    assert_eq!(
        value(&found, "lastref_open_handles", ("pid", "9950")),
        449.0
    );
    let growth = &found["lastref_growth_per_second"];
    assert_eq!(growth.len(), TOLD + 1);
    assert_eq!(growth.values().sum::<f64>(), 49_995_000.0);
    assert_eq!(
        value(&found, "lastref_leaks", ("leak", "suspected")),
        10_000.0
    );
    assert!(
        text.lines().count() < 450 && text.len() < 64 << 10,
        "{}",
        text.len()
    );
}

#[test]
fn names_that_others_chose_end_no_line_and_no_label() {
    let hostile = "a\"} 1\nlastref_up 1\n# EOF\n\\\u{1b}[2J\u{202e}";
    let mut of_one = series(1, process(1, hostile), 1);
    of_one.objects.name = hostile.into();
    of_one.objects.type_name = "\\".into();
    let mut pin = series(
        2,
        Holder::Pin(Pin {
            path: "/sys/fs/bpf/".to_owned() + &"ä\n".repeat(4000),
            mount_namespace: None,
            enter_pid: None,
            also: vec![],
            unlinked: false,
        }),
        1,
    );
    pin.by = By::Pin;
    let leaks = [
        told(&of_one, Leak::Yes, 1.0),
        told(&pin, Leak::Yes, f64::NAN),
    ];
    let text = page(&Census::default(), &[of_one, pin], &leaks);
    let found = read(&text);
    assert!(!found.contains_key("lastref_up"));
    assert!(
        text.chars()
            .all(|c| c == '\n' || !c.is_control() && c != '\u{202e}')
    );
    assert!(text.lines().all(|line| line.chars().count() < 1000));
    let (labels, _) = found["lastref_open_handles"]
        .first_key_value()
        .expect("one");
    assert!(labels.contains(&("type".into(), "\\".into())), "{labels:?}");
    // A number that is none is not known.
    assert_eq!(found["lastref_growth_per_second"].len(), 1);
    // What is gone is not there, though it is remembered.
    let gone = series(4, process(9, "gone"), 0);
    let mut over = told(&gone, Leak::No, 0.0);
    over.state = Trend::Over;
    let gone = SeriesSample { fds: 0, ..gone };
    let found = read(&page(&Census::default(), &[gone], &[over]));
    assert!(!found.contains_key("lastref_open_handles"));
    assert!(!found.contains_key("lastref_growth_per_second"));
    // Empty names are no labels; two that differ in nothing that is said are one.
    let mut nobody = series(3, process(7, ""), 2);
    nobody.objects.name = String::new();
    let found = read(&page(&Census::default(), &[nobody.clone(), nobody], &[]));
    assert_eq!(found["lastref_open_handles"].len(), 1);
    assert_eq!(value(&found, "lastref_open_handles", ("holder", "?")), 4.0);
}

#[test]
fn holders_are_told_apart_by_what_they_are() {
    let mut program = series(1, process(1, "worker1"), 5);
    program.scope = Scope::Program;
    program.holders = 3;
    program.pattern = Some("worker*".into());
    let found = read(&page(
        &Census::default(),
        &[],
        &[told(&program, Leak::Yes, 1.0)],
    ));
    let (labels, _) = found["lastref_growth_per_second"]
        .first_key_value()
        .expect("one");
    let labels: Vec<_> = labels
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    assert_eq!(
        labels,
        [
            ("holder_type", "program"),
            ("holder", "worker*"),
            ("by", "fd"),
            ("kind", "map"),
            ("name", "events"),
            ("type", "hash"),
            ("leak", "yes")
        ]
    );
}

/// What a text says of lastref's metrics, by name.
fn named(text: &str) -> BTreeSet<&str> {
    let word = |c: char| !(c.is_ascii_lowercase() || c == '_');
    let words = text.split(word);
    // A name of ours that is no metric: the program's.
    words.filter(|w| w.starts_with("lastref_")).collect()
}

#[test]
fn the_documentation_and_what_is_deployed_name_what_there_is() {
    let names: BTreeSet<String> = FAMILIES
        .iter()
        .map(|f| format!("{}{}", f.name, if f.counter { "_total" } else { "" }))
        .collect();
    let table = include_str!("../../../../docs/metrics.md");
    let rows = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `lastref_"));
    let rows: BTreeSet<String> = rows
        .filter_map(|row| Some(format!("lastref_{}", row.split('`').next()?)))
        .collect();
    assert_eq!(rows, names);
    for text in [
        include_str!("../../../../deploy/prometheus.yml"),
        include_str!("../../../../deploy/alerts.yml"),
        include_str!("../../../../deploy/alerts.test.yml"),
        include_str!("../../../../deploy/grafana.json"),
        table,
    ] {
        let unknown = named(text)
            .into_iter()
            .filter(|name| !names.contains(*name));
        assert_eq!(unknown.collect::<Vec<_>>(), [""; 0]);
    }
}
