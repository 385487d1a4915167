waft_unit_test(store_sealed waft_store PkgConfig::ZSTD)
waft_unit_test(seal_sequences waft_store PkgConfig::ZSTD)
target_sources(test_seal_sequences PRIVATE ${WAFT_TESTS_DIR}/support/heap_peak.c)
target_compile_definitions(test_seal_sequences PRIVATE
  CASES_DIR="${CMAKE_SOURCE_DIR}/tests/data")
