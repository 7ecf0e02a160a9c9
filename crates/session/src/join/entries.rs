//! What stands in maps' entries, besides maps and programs in slots.

use super::Join;
use super::carriers::Keepers;
use kernel::holders::What;
use model::{By, Holder};

impl Join<'_> {
    pub(super) fn entries(&mut self, mut keepers: Option<&mut Keepers<'_>>) {
        for hold in self.pass.slots.iter().flat_map(|s| &s.holds) {
            let (by, holder) = match hold.what {
                What::Entry => (By::MapEntry, self.holder(hold.holder)),
                What::Timer => (By::Timer, self.holder(hold.holder)),
                What::Member => (By::StructOps, self.holder(hold.holder)),
                What::Registered => {
                    let what = "struct_ops that are registered".to_owned();
                    (By::StructOps, Some(Holder::Kernel { what }))
                }
                What::Xsk => {
                    let keepers = keepers.as_mut();
                    (By::MapEntry, keepers.and_then(|k| k.holder(hold.holder)))
                }
                _ => continue,
            };
            if let Some(holder) = holder {
                self.add(hold.object, by, hold.count, vec![holder]);
            }
        }
    }
}
