r"""Builds a public twin of the boostcamp AI Tech "Mask Image Classification" data.

    python -m benchmarks.competition_twin ../shared/data/all_age_faces --out twin

The competition's photos are under copyright. The twin has their layout, size and proportions, made
from a set whose file names give gender and age, such as All-Age-Faces (mostly Asian adults, one
photo a person):

    twin/
        train/train.csv                                 id, gender, race, age, path
        train/images/000001_female_Asian_45/            mask1..mask5, incorrect_mask, normal .jpg
        eval/info.csv, eval/gt.csv                      ImageID, ans
        eval/images/                                    the same seven photos of each other person
        eval/people.csv                                 ImageID, person: the photo it was made from
        twin.json                                       how many people and photos it has, of what

Seven photos a person, 384x512 pixels; masks are rendered (`maskwise data mask`). As there, nobody
is younger than 18 and ages above 60 are written as 60; for each man there are 1.6 women, and the
age groups stand 7 : 6 : 1, as far as people suffice. Of 4,500 people three fifths train, the others
evaluate; a person is in one of both, and of near-duplicate photos the first is used. The seed
decides everything. A stopped run goes on when the command is given again.
"""
