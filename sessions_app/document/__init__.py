"""The document of a session: merging, the update log, history.

Pure, from the bytes of Yjs upwards: errors, spans, halves, blocks, slices, updates, texts, diff, changes, rewrite,
opening, positions, replica. In the database: update_log, quarantine, contents, compaction, history.
"""
