//! `lastref ls --json`, read back.

use crate::error::{Error, cut, of_syntax, why};
use model::{Detail, Kind, ListReport, Object, ObjectId, Snapshot};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::collections::HashSet;

/// The largest file that is read: a report of 100,000 objects has some 100 MiB.
pub const MAX_BYTES: u64 = 1 << 30;

/// The parts of a report, of which only the schema is understood yet.
#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
    #[serde(borrow)]
    snapshot: Option<&'a RawValue>,
    #[serde(borrow)]
    filters: Option<&'a RawValue>,
    #[serde(borrow)]
    objects: Option<&'a RawValue>,
}

/// Reads the report of `lastref ls --json`.
pub fn list_report(bytes: &[u8]) -> Result<ListReport, Error> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::TooLarge);
    }
    // Some editors begin a file so.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.trim_ascii().is_empty() {
        return Err(Error::Empty);
    }
    let parts: Parts<'_> = serde_json::from_slice(bytes).map_err(|error| {
        // What is an array, say, must still be told from what is cut off.
        match serde_json::from_slice::<IgnoredAny>(bytes) {
            Err(syntax) => of_syntax(&syntax, bytes),
            Ok(_) => Error::NotAReport { why: why(&error) },
        }
    })?;
    check_schema(&parts)?;
    let snapshot = part::<Snapshot>("snapshot", parts.snapshot)?;
    let filters = match parts.filters {
        Some(_) => part("filters", parts.filters)?,
        None => vec![],
    };
    let objects = objects(parts.objects)?;
    Ok(ListReport {
        schema: ListReport::SCHEMA.into(),
        snapshot,
        filters,
        objects,
    })
}

fn check_schema(parts: &Parts<'_>) -> Result<(), Error> {
    let not_a_report = |why: String| Error::NotAReport { why };
    let Some(schema) = parts.schema else {
        return Err(not_a_report("it has no `schema`".into()));
    };
    let schema: String = serde_json::from_str(schema.get())
        .map_err(|_| not_a_report("its `schema` is no text".into()))?;
    let (name, version) = schema.rsplit_once('/').unwrap_or((&schema, ""));
    let (ours, our_version) = ListReport::SCHEMA.rsplit_once('/').unwrap_or_default();
    if !name.starts_with("lastref.") {
        return Err(not_a_report(format!("its schema is `{}`", cut(&schema))));
    }
    let schema = cut(&schema);
    if name != ours {
        return Err(Error::OtherReport { schema });
    }
    if version != our_version {
        let number = |text: &str| text.parse::<u64>().ok();
        let later = number(version) > number(our_version);
        return Err(Error::OtherVersion {
            schema,
            reads: ListReport::SCHEMA,
            hint: if later {
                "use the lastref that wrote it, or a later one"
            } else {
                "write it again"
            },
        });
    }
    Ok(())
}

fn part<'a, T: Deserialize<'a>>(name: &str, raw: Option<&'a RawValue>) -> Result<T, Error> {
    let place = || format!("`{name}`");
    let raw = raw.ok_or_else(|| Error::Content {
        place: place(),
        why: "it is missing".into(),
    })?;
    serde_json::from_str(raw.get()).map_err(|error| Error::Content {
        place: place(),
        why: why(&error),
    })
}

/// What can be told of an object that cannot be read.
#[derive(Deserialize)]
struct Which {
    kind: Option<Kind>,
    id: Option<u32>,
}

fn objects(raw: Option<&RawValue>) -> Result<Vec<Object>, Error> {
    let each: Vec<&RawValue> = part("objects", raw)?;
    let mut objects = Vec::with_capacity(each.len());
    let mut seen = HashSet::with_capacity(each.len());
    for (at, raw) in each.into_iter().enumerate() {
        let fail = |why: String| {
            let place = match serde_json::from_str(raw.get()) {
                Ok(Which {
                    kind: Some(kind),
                    id: Some(id),
                }) => ObjectId { kind, id }.to_string(),
                _ => format!("object {} of the list", at + 1),
            };
            Error::Content { place, why }
        };
        let object: Object = serde_json::from_str(raw.get()).map_err(|error| fail(why(&error)))?;
        check_kind(&object).map_err(|why| fail(why.into()))?;
        if let Some(id) = object.facts.object_id()
            && !seen.insert(id)
        {
            return Err(fail("it is listed twice".into()));
        }
        objects.push(object);
    }
    Ok(objects)
}

/// The fields of one kind only say which kind it is; they must not say another.
fn check_kind(object: &Object) -> Result<(), &'static str> {
    let (kind, fields) = match &object.facts.detail {
        Detail::Map(_) => (Kind::Map, "it has the fields of a map"),
        Detail::Prog(_) => (Kind::Prog, "it has the fields of a program"),
        Detail::Link(_) => (Kind::Link, "it has the fields of a link"),
        Detail::Btf(_) => (Kind::Btf, "it has the fields of BTF"),
    };
    if kind == object.facts.kind {
        Ok(())
    } else {
        Err(fields)
    }
}
