waft_fault(race
  TAKES 60
  ABOUT "daemons racing for one store: one gets it, the others end before they write"
  COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/race.py)
