# The read side of the store: records, filters, trees, statistics, index, reader, queries.
foreach(name record filter tree stats files index pack catalog pages)
  waft_unit_test(query_${name} waft_store waft_test_store waft_test_parts)
  target_compile_definitions(test_query_${name} PRIVATE
    TEST_DATA="${CMAKE_CURRENT_SOURCE_DIR}/data")
endforeach()

waft_unit_test(query_merge waft_store waft_test_store)
target_link_options(test_query_merge PRIVATE -Wl,--wrap=getrandom)
waft_unit_test(query_texts waft_store waft_test_store waft_test_world)
waft_unit_test(query_scattered waft_store)
waft_unit_test(pack_pieces waft_store)
waft_unit_test(query_ids waft_store waft_test_batches)
waft_unit_test(query_unsorted waft_store waft_test_store waft_test_world)
waft_unit_test(text_search waft_store)
waft_unit_test(seal_room waft_store waft_test_store waft_test_world)
waft_unit_test(seal_memory waft_store waft_test_store)
target_sources(test_seal_memory PRIVATE ${WAFT_TESTS_DIR}/support/heap_peak.c)

# Several threads search frames.
waft_unit_test(query_screen waft_store waft_test_store LABELS threads)

waft_unit_test(query_offline waft_test_world TIMEOUT 300)
