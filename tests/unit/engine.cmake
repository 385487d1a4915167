if(TARGET waft_engine)
  waft_unit_test(engine_number waft_engine)
  waft_unit_test(engine_json waft_engine)
  waft_unit_test(engine_decision waft_engine)
  waft_unit_test(engine_cases waft_engine)
  target_compile_definitions(test_engine_cases PRIVATE
    CASES_DIR="${CMAKE_SOURCE_DIR}/tests/data")
  # Its sums show what the engine's do: rounded after each step.
  target_compile_options(test_engine_decision PRIVATE -ffp-contract=off)
endif()
