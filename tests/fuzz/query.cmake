# What readers of a store parse: lines, indexes, pages and ids.
waft_fuzzer(catalog waft_test_world)
waft_fuzzer(pack waft_test_world waft_test_parts waft_test_store)
waft_fuzzer(query_files waft_test_world)
waft_fuzzer(query_index waft_test_world waft_test_parts)
