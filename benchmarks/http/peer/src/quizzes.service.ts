import { randomUUID } from 'node:crypto';
import { BadRequestException, Inject, Injectable, NotFoundException } from '@nestjs/common';
import { and, asc, desc, eq, sql } from 'drizzle-orm';
import { DATABASE, Database } from './database.module';
import { AnswerDto } from './quizzes.dto';
import { attempts, progress, quizWords, quizzes } from './schema';
import { toItem } from './words.service';

const DAY = 24 * 60 * 60 * 1000;
// A subquery per quiz, as Prisma and Drizzle users write `_count`.
const attemptCount = sql<number>`(select count(*)::int from attempts where attempts.quiz_id = ${quizzes.id})`;

@Injectable()
export class QuizzesService {
  constructor(@Inject(DATABASE) private readonly database: Database) {}

  async list() {
    const rows = await this.database.query.quizzes.findMany({
      where: eq(quizzes.isPublic, true),
      orderBy: [desc(quizzes.createdAt), desc(quizzes.id)],
      limit: 500,
      with: { creator: { columns: { id: true, role: true } } },
      extras: { attempts: attemptCount.as('attempts') },
    });
    return rows.map(({ wordsTotal, attempts: taken, ...quiz }) => ({
      ...quiz,
      _count: { quizWords: wordsTotal, attempts: taken },
    }));
  }

  async show(id: string) {
    const found = await this.database.query.quizzes.findFirst({
      where: and(eq(quizzes.id, id), eq(quizzes.isPublic, true)),
      with: {
        creator: { columns: { id: true, role: true } },
        quizWords: { orderBy: [asc(quizWords.position)], with: { word: true } },
      },
      extras: { attempts: attemptCount.as('attempts') },
    });
    if (!found) throw new NotFoundException('Quiz not found');
    const { wordsTotal, attempts: taken, quizWords: asked, ...quiz } = found;
    return {
      ...quiz,
      _count: { quizWords: wordsTotal, attempts: taken },
      quizWords: asked.map(({ position, ...question }) => ({ ...question, word: toItem(question.word) })),
    };
  }

  async submit(id: string, userId: string, given: AnswerDto[]) {
    const quiz = await this.database.query.quizzes.findFirst({
      where: eq(quizzes.id, id),
      with: { quizWords: { orderBy: [asc(quizWords.position)], with: { word: true } } },
    });
    if (!quiz) throw new NotFoundException('Quiz not found');
    const answers = new Map(given.map((answer) => [answer.wordId, answer.answer ?? '']));
    if (quiz.quizWords.some(({ wordId }) => !answers.has(wordId))) {
      throw new BadRequestException('Missing answers for some words');
    }
    if (answers.size !== given.length) throw new BadRequestException('Duplicate answers detected');
    const results = quiz.quizWords.map(({ wordId, word }) => {
      const userAnswer = answers.get(wordId)!;
      const correctAnswers = [word.hiragana, word.katakana, word.kanji, word.romaji, word.english].filter((text) => text !== null);
      const isCorrect = correctAnswers.some((text) => text.trim().toLowerCase() === userAnswer.trim().toLowerCase());
      return { wordId, userAnswer, correctAnswers, isCorrect, word: toItem(word) };
    });
    const correct = results.filter(({ isCorrect }) => isCorrect).length;
    const score = Math.round((100 * correct) / results.length);
    const attemptId = randomUUID();
    const now = new Date();
    await this.database.transaction(async (transaction) => {
      await transaction.insert(attempts).values({
        id: attemptId,
        userId,
        quizId: id,
        score,
        answers: results.map(({ userAnswer }) => userAnswer),
        correct: results.map(({ isCorrect }) => isCorrect),
      });
      await transaction
        .insert(progress)
        .values(
          results.map(({ wordId, isCorrect }) => ({
            id: randomUUID(),
            userId,
            wordId,
            masteryLevel: isCorrect ? 1 : 0,
            lastReviewedAt: now,
            nextReviewAt: isCorrect ? new Date(now.getTime() + DAY) : now,
          })),
        )
        .onConflictDoUpdate({
          target: [progress.userId, progress.wordId],
          set: {
            masteryLevel: sql`case when excluded.mastery_level = 0 then 0 else least(${progress.masteryLevel} + 1, 10) end`,
            lastReviewedAt: now,
            nextReviewAt: sql`excluded.next_review_at`,
            updatedAt: now,
          },
        });
    });
    return {
      attemptId,
      score,
      totalQuestions: results.length,
      correctAnswers: correct,
      message: 'Quiz submitted successfully',
      results,
    };
  }
}
