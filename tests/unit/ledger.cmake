# What was sent and what became of it: client/src/ledger.c.
waft_unit_test(ledger waft_static)
target_include_directories(test_ledger PRIVATE ${CMAKE_SOURCE_DIR}/client/src)
