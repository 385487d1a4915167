# libwaft. What lies in client/ here is shared: a collector that does as told.
find_package(Threads REQUIRED)
pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET libuv)
add_library(client_test STATIC
  ${WAFT_TESTS_DIR}/unit/client/fake_collector.c
  ${WAFT_TESTS_DIR}/unit/client/fake_record.c)
target_include_directories(client_test PUBLIC
  ${WAFT_TESTS_DIR}/unit/client
  ${CMAKE_SOURCE_DIR}/client/src)
target_link_libraries(client_test PUBLIC waft_static waft_proto PkgConfig::CMOCKA Threads::Threads)

foreach(module spans redact snapshot context endpoint sampler config inbox macros)
  waft_unit_test(client_${module} client_test)
endforeach()
target_link_libraries(test_client_endpoint PRIVATE waft_test_names)
target_link_libraries(test_client_context PRIVATE PkgConfig::LIBUV)
# One process forks while it has threads, which TSan does not follow.
waft_unit_test(client_fork client_test)
waft_unit_test(client_export client_test LABELS threads)
waft_unit_test(client_threads client_test LABELS threads)
waft_unit_test(client_slots client_test LABELS threads)
# It has a ppoll() of its own, which must be seen before a sanitizer's and libc's.
waft_unit_test(client_wake client_test)
waft_unit_test(client_chunk client_test)
