if(TARGET waft_engine)
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)

  waft_unit_test(engine_number waft_engine)
  waft_unit_test(engine_json waft_engine)
  waft_unit_test(engine_decision waft_engine)
  waft_unit_test(engine_cases waft_engine)
  waft_unit_test(engine_pool waft_engine_service LABELS threads)
  waft_unit_test(engine_store waft_engine_service PkgConfig::SQLITE)
  waft_unit_test(engine_decide waft_engine_decide)

  target_compile_definitions(test_engine_cases PRIVATE
    CASES_DIR="${CMAKE_SOURCE_DIR}/tests/data")
  # Its sums show what the engine's do: rounded after each step.
  target_compile_options(test_engine_decision PRIVATE -ffp-contract=off)
endif()
if(TARGET waft_microhttpd)
  waft_unit_test(microhttpd waft::microhttpd LABELS threads)
endif()
