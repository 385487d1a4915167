# The write side of the store: log, manifest, parts, lines, recovery.
add_library(waft_test_world STATIC
  ${WAFT_TESTS_DIR}/support/fake_disk.c
  ${WAFT_TESTS_DIR}/support/fake_disk_crash.c
  ${WAFT_TESTS_DIR}/support/small_store.c
  ${WAFT_TESTS_DIR}/support/store_world.c
  ${WAFT_TESTS_DIR}/support/world_check.c
  ${WAFT_TESTS_DIR}/support/world_index.c)
target_include_directories(waft_test_world PUBLIC ${WAFT_TESTS_DIR}/support ${WAFT_TESTS_DIR})
target_link_libraries(waft_test_world PUBLIC waft_store waft_test_batches)

waft_unit_test(batch_split waft_test_world)
waft_unit_test(store_clients waft_test_world)
waft_unit_test(store_crash waft_test_world TIMEOUT 600)
waft_unit_test(store_damage waft_test_world)
waft_unit_test(store_group waft_test_world LABELS threads)
waft_unit_test(store_log waft_test_world)
waft_unit_test(store_manifest_format waft_store)
waft_refusing(test_store_manifest_format collector/store/bytes.c)
waft_unit_test(store_parts waft_test_world)
waft_unit_test(store_pen waft_test_world LABELS threads)
target_link_options(test_store_pen PRIVATE -Wl,--wrap=pthread_cond_wait,--wrap=pthread_create)
waft_unit_test(store_scan waft_test_world)
waft_refusing(test_store_scan collector/store/scan.c)

pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
waft_unit_test(store_line waft_test_world PkgConfig::JANSSON m)
waft_unit_test(batch_hot waft_test_world)
# Both sides of what libwaft leaves to the collector.
waft_unit_test(snapshot_texts waft_static waft_test_world)
target_include_directories(test_snapshot_texts PRIVATE ${CMAKE_SOURCE_DIR}/client/src)
