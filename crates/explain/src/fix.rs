//! What lets the handles of a group go: which call, on which type.

use crate::evidence::{Evidence, Owner, Runtime};
use crate::group::Group;
use crate::judge::known_type;
use libraries::LibraryKind as L;
use libraries::{Call, raw, reader, release};
use model::{Kind, Origin, Verdict};

/// One or more sentences.
pub(crate) fn fix(evidence: &Evidence<'_>, group: &Group<'_>) -> String {
    let mut sentences = vec![];
    if group.verdict == Verdict::Unknown {
        sentences.push(to_know(evidence));
    } else {
        sentences.extend(by_origin(group));
        sentences.extend(by_verdict(evidence, group));
    }
    sentences.join(". ")
}

/// What came from another process is to be stopped there.
fn by_origin(group: &Group<'_>) -> Option<String> {
    let (handle, _) = group.members.first()?;
    let from = handle.shared_with.as_deref().unwrap_or("its ancestor");
    match group.origin() {
        Origin::Inherited => Some(format!(
            "Leave close-on-exec set on it in {from}, or close it after the fork"
        )),
        Origin::Received => Some("Close what another process sent once it is used no more".into()),
        Origin::Acquired | Origin::Unknown => None,
    }
}

fn by_verdict(evidence: &Evidence<'_>, group: &Group<'_>) -> Vec<String> {
    let call = call(evidence, group);
    let act = call.act;
    let mut all = vec![match group.verdict {
        Verdict::Retained
        | Verdict::RetainedByGlobal
        | Verdict::RetainedByGoroutine
        | Verdict::RetainedByTinyBlock
        | Verdict::RetainedByFinalizer
        | Verdict::ReleaseCycle => format!("{act} when its user stops"),
        Verdict::Dropped | Verdict::NotJudged if never_collects(evidence) => {
            format!("{act} when its user stops: with GOGC=off no collection will")
        }
        Verdict::Dropped | Verdict::NotJudged => {
            format!("{act} when its user stops, rather than leave it to a collection to come")
        }
        Verdict::SweepPending | Verdict::ReleaseQueued if is_paused(evidence) => {
            format!(
                "Let the process go on: nothing is released while it is paused. {act} when its user stops"
            )
        }
        Verdict::SweepPending | Verdict::ReleaseQueued => {
            format!("{act} when its user stops: it will be released, but late")
        }
        Verdict::ReleaseBlocked => {
            let (_, judged) = &group.members[0];
            let function = judged.behind.as_ref().map(|behind| &*behind.function);
            format!(
                "Have {} return: nothing behind it is released before. {act} rather than leave it to the collector",
                function.unwrap_or("what is running")
            )
        }
        Verdict::NoRelease => format!("{act}: dropping it releases nothing"),
        Verdict::NoOwner | Verdict::Unmanaged | Verdict::Mapped | Verdict::Unknown => {
            act.to_owned()
        }
    }];
    all.extend(call.but.map(str::to_owned));
    let of_cilium = |owner: &Owner| {
        // Of many owners, most are told apart without a look at the table.
        let known = || known_type(owner, &evidence.process.libraries);
        owner.tiny && known().is_some_and(|known| known.library == L::CiliumEbpf)
    };
    if group.verdict == Verdict::Retained && group.owners().any(of_cilium) {
        all.push(
            "Since v0.20 an owner of cilium/ebpf shares its block with no other object".into(),
        );
    }
    all
}

/// The call, by what holds the handle: its owner's library, or one that the program has.
fn call(evidence: &Evidence<'_>, group: &Group<'_>) -> Call {
    let libraries = &evidence.process.libraries;
    let has = |kind: L| libraries.iter().any(|l| l.kind == kind);
    let first = |kinds: &[L]| kinds.iter().copied().find(|kind| has(*kind));
    match group.verdict {
        Verdict::Mapped => {
            let of_kind = first(&[
                L::CiliumEbpf,
                L::Libbpfgo,
                L::LibbpfRs,
                L::Aya,
                L::Libbpf,
                L::Cgo,
            ]);
            let known = of_kind.and_then(|library| reader(library, group.type_name));
            known.unwrap_or(Call {
                act: "Call munmap(2) on each of its mappings",
                but: None,
            })
        }
        // Neither of these is what cilium/ebpf made and still owns.
        Verdict::NoOwner => match first(&[L::Libbpfgo, L::Gobpf, L::Cgo]) {
            Some(library) => release(library, group.kind),
            None => raw(true),
        },
        Verdict::Unmanaged => {
            let xdp = (group.kind == Kind::Prog).then_some(L::Libxdp);
            let known = [L::LibbpfRs, L::Aya, L::Bcc]
                .into_iter()
                .chain(xdp)
                .chain([L::Libbpf]);
            match known.into_iter().find(|kind| has(*kind)) {
                Some(library) => release(library, group.kind),
                None => raw(false),
            }
        }
        _ => {
            let mut owners = group.owners();
            let known = owners.find_map(|owner| known_type(owner, libraries));
            match known {
                Some(known) => release(known.library, group.kind),
                None => raw(true),
            }
        }
    }
}

/// Somebody has stopped it.
fn is_paused(evidence: &Evidence<'_>) -> bool {
    matches!(&evidence.process.runtime, Runtime::Go(go) if go.paused.is_some())
}

/// `GOGC=off`, and no memory limit that would have it collect all the same.
pub(crate) fn never_collects(evidence: &Evidence<'_>) -> bool {
    match &evidence.process.runtime {
        Runtime::Go(go) => {
            let gc = go.gc.as_ref();
            gc.is_ok_and(|gc| gc.gogc_off && gc.memory_limit.is_none())
        }
        _ => false,
    }
}

fn to_know(evidence: &Evidence<'_>) -> String {
    match &evidence.process.runtime {
        Runtime::GoUnread { needs, .. } | Runtime::Unread { needs, .. } if !needs.is_empty() => {
            format!("To know more takes {needs}")
        }
        Runtime::GoUnread { .. } | Runtime::Unread { .. } => {
            "Compare what the program opens with what it closes".into()
        }
        Runtime::Go(_) | Runtime::NotGo(_) => {
            "Look again: readings of a process that runs may miss what moves".into()
        }
    }
}
