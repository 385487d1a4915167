# What the store reads back.
waft_fuzzer(log waft_test_world)
waft_fuzzer_refusing(log collector/store/bytes.c collector/store/log_reader.c
  collector/store/log_scan.c collector/store/recover.c collector/store/quarantine.c)
target_sources(fuzz_log PRIVATE ${WAFT_TESTS_DIR}/fuzz/refuse_disk.c)
waft_fuzzer(manifest waft_test_world)
waft_fuzzer_refusing(manifest collector/store/bytes.c collector/store/clients.c
  collector/store/clients_image.c collector/store/clients_ledger.c
  collector/store/consumed.c collector/store/manifest.c collector/store/manifest_format.c
  collector/store/manifest_load.c)
target_sources(fuzz_manifest PRIVATE ${WAFT_TESTS_DIR}/fuzz/refuse_disk.c)
waft_fuzzer(inbox waft_test_world)
# From batch to line to batch to line.
waft_fuzzer(round_trip waft_test_world)
# What lines repeat, and the text made of that again.
waft_fuzzer(sequences waft_store PkgConfig::ZSTD)
