//! What an operator must see to.

use super::Daemon;

impl Daemon {
    /// All of it, each in a sentence.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = self.exporter.failures();
        warnings.extend(self.doubles_warnings());
        if self.saving_failed {
            warnings.push(
                "the state cannot be saved: this machine announces nothing, and elsewhere its names end with their lease"
                    .into(),
            );
        }
        warnings.extend(self.locked_out());
        warnings.extend(self.certificate_warnings());
        warnings.extend(self.uncounted_warnings());
        warnings
    }
}
