"""Pictures and who they show: records, readers, the decoded store, P x K batches."""
